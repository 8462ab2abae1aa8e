package dev.gpt2edge

import java.io.File

/**
 * The settings in generation_config.json, of which a package that has one makes its defaults. What
 * this version does not know does not count; null is not set. As in transformers, a temperature, top_k
 * or top_p alone does not make it sample. Tokens are the manifest's affair.
 *
 * sha256: of the file. Raises PackageException for a value out of its range.
 */
internal fun readGenerationDefaults(file: File, sha256: String?): GenerationConfig {
    val members =
        try {
            file.readJson(JSON_LIMIT, sha256) { readValue() } as? Map<*, *>
        } catch (error: UnreadableException) {
            throw PackageException(
                "$file cannot be read as JSON (${error.message}); copy the package again",
                error,
            )
        }
    return DefaultSettings(file, members ?: throw PackageException("$file holds no JSON object; copy the package again"))
        .config()
}

private class DefaultSettings(private val file: File, private val members: Map<*, *>) {
    fun config(): GenerationConfig {
        val config =
            GenerationConfig(
                maxNewTokens = count("max_new_tokens", 1),
                doSample = boolean("do_sample"),
                temperature = number("temperature", Float.MAX_VALUE.toDouble()),
                topK = count("top_k", 0),
                topP = number("top_p", 1.0),
            )
        val onlyForSampling = listOfNotNull(config.temperature, config.topK, config.topP)
        return if (onlyForSampling.isEmpty()) config else config.copy(doSample = config.doSample ?: false)
    }

    private fun boolean(name: String): Boolean? {
        val value = members[name] ?: return null
        return value as? Boolean ?: wrong(name, "true or false")
    }

    /** A number of tokens; more than an Int holds are as many as any text has. */
    private fun count(name: String, least: Long): Int? {
        val value = members[name] ?: return null
        if (value !is Long || value < least) wrong(name, "a whole number, $least or more")
        return minOf(value, Int.MAX_VALUE.toLong()).toInt()
    }

    private fun number(name: String, most: Double): Float? {
        val value = members[name] ?: return null
        val number = (value as? Number)?.toDouble()
        if (number == null || !(number >= 0 && number <= most)) wrong(name, if (most == 1.0) "0 to 1" else "0 or more")
        return number.toFloat()
    }

    private fun wrong(name: String, expected: String): Nothing =
        throw PackageException(
            "$file: $name is ${shown(members[name])}; it must be $expected: export the package again"
        )
}
