package dev.gpt2edge

/** Computes what the manifest's self-test says, and compares. */
internal fun runSelfTest(generator: Generator): SelfTestReport {
    val test =
        generator.modelPackage.manifest.selfTest ?: return SelfTestReport(false, "the manifest has no self-test")
    val problems = ArrayList<String>()
    val logits = generator.logits(test.promptIds)
    for ((id, expected) in test.logits) {
        val found = logits.getOrNull(id) ?: Float.NaN
        if (!(Math.abs(found - expected) <= test.tolerance)) {
            problems.add("logit of token $id is $found; expected $expected within ${test.tolerance}")
        }
    }
    if (test.expectedIds.isNotEmpty()) {
        val wanted = GenerationConfig(maxNewTokens = test.expectedIds.size, doSample = false, ignoreEos = true)
        val plain = Decoding(wanted, GenerationConfig()) // whatever the package's own settings are
        try {
            val ids = generator.write(test.promptIds, plain) {}.ids
            if (!ids.contentEquals(test.expectedIds)) {
                problems.add(
                    "greedy tokens are ${ids.contentToString()}; expected ${test.expectedIds.contentToString()}"
                )
            }
        } catch (error: GenerationException) { // logits that are not numbers
            problems.add(error.message.orEmpty())
        }
    }
    if (problems.isNotEmpty()) return SelfTestReport(false, oneLine(problems.joinToString("; ")))
    return SelfTestReport(
        true,
        "${test.logits.size} logits within ${test.tolerance} and ${test.expectedIds.size} tokens as on the machine " +
            "that exported the package",
    )
}
