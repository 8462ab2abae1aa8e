package dev.gpt2edge

import java.io.File
import java.security.SecureRandom

/**
 * A loaded package that writes text. Calls block: make them from a worker thread. Threads may share
 * one, since every generation has a cache of its own; [close] waits for those that are running.
 */
class Generator
private constructor(
    private val session: Session,
    val tokenizer: Tokenizer?,
    /** The package's own settings, of its generation_config.json: the defaults of every generation. */
    val generationConfig: GenerationConfig,
) : AutoCloseable {
    val modelPackage: ModelPackage
        get() = session.modelPackage

    private val architecture = modelPackage.manifest.architecture

    /**
     * Continues [prompt]; [onText] gets pieces of the new text as they become certain, never half a
     * character. [cancelled] is asked before every step; the result then has the text so far.
     *
     * Raises GenerationException and ContextOverflowException for a prompt that cannot be taken, and
     * GenerationException for settings that this package cannot meet, and for a model whose logits are
     * not numbers.
     */
    fun stream(
        prompt: String,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        onText: (String) -> Unit,
    ): GenerationResult =
        streamEvents(prompt, config, cancelled) { if (it.text.isNotEmpty()) onText(it.text) }

    /** Like [stream] with token ids in and out; works without a tokenizer, and with one gives text. */
    fun streamIds(
        promptIds: IntArray,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        onToken: (Int) -> Unit = {},
    ): GenerationResult = streamEvents(promptIds, config, cancelled) { it.ids.forEach(onToken) }

    /** Like [stream], with the ids and log-probabilities behind the text. */
    fun streamEvents(
        prompt: String,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        onEvent: (TextEvent) -> Unit,
    ): GenerationResult = generate(encoded(prompt), Decoding(config, generationConfig), cancelled, onEvent)

    /** Like [streamIds], with the text and log-probabilities of the ids. */
    fun streamEvents(
        promptIds: IntArray,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        onEvent: (TextEvent) -> Unit,
    ): GenerationResult = generate(promptIds, Decoding(config, generationConfig), cancelled, onEvent)

    /** The [k] most likely next tokens after [prompt], most likely first. */
    fun nextTokens(prompt: String, k: Int): List<NextToken> {
        if (k < 1) throw GenerationException("k is $k; it must be at least 1")
        val tokenizer = requireTokenizer()
        val promptIds = fitting(encoded(prompt))
        return session.whileOpen {
            session.start(promptIds.size).use { sequence ->
                sequence.prefill(promptIds)
                if (!areNumbers(sequence.logits)) throw sequence.notNumbers()
                val largest = Largest().apply { find(sequence.logits, k) }
                val ids = largest.ids.copyOf(largest.size)
                val likely = probabilities(sequence.logits, ids)
                ids.indices.map { NextToken(ids[it], tokenizer.label(ids[it]), likely[it]) }
            }
        }
    }

    /** Runs the manifest's self-test; its message is one line. */
    fun selfTest(): SelfTestReport {
        val test =
            modelPackage.manifest.selfTest
                ?: return SelfTestReport(false, "the manifest has no self-test")
        val problems = ArrayList<String>()
        val logits = logits(test.promptIds)
        for ((id, expected) in test.logits) {
            val found = logits.getOrNull(id) ?: Float.NaN
            if (!(Math.abs(found - expected) <= test.tolerance)) {
                problems.add("logit of token $id is $found; expected $expected within ${test.tolerance}")
            }
        }
        if (test.expectedIds.isNotEmpty()) {
            val count = test.expectedIds.size
            val wanted = GenerationConfig(maxNewTokens = count, doSample = false, ignoreEos = true)
            val plain = Decoding(wanted, GenerationConfig()) // whatever the package's own settings are
            try {
                val ids = generate(test.promptIds, plain, { false }) {}.ids
                if (!ids.contentEquals(test.expectedIds)) {
                    problems.add(
                        "greedy tokens are ${ids.contentToString()}; " +
                            "expected ${test.expectedIds.contentToString()}"
                    )
                }
            } catch (error: GenerationException) { // logits that are not numbers
                problems.add(error.message.orEmpty())
            }
        }
        if (problems.isNotEmpty()) return SelfTestReport(false, oneLine(problems.joinToString("; ")))
        return SelfTestReport(
            true,
            "${test.logits.size} logits within ${test.tolerance} and ${test.expectedIds.size} tokens " +
                "as on the machine that exported the package",
        )
    }

    override fun close() = session.close()

    /** Logits after [promptIds]. */
    internal fun logits(promptIds: IntArray, chunk: Int = PREFILL_CHUNK): FloatArray =
        session.whileOpen {
            session.start(fitting(promptIds).size).use { sequence ->
                sequence.prefill(promptIds, chunk)
                sequence.logits
            }
        }

    private fun encoded(prompt: String): IntArray = requireTokenizer().encode(prompt)

    private fun requireTokenizer(): Tokenizer =
        tokenizer
            ?: throw GenerationException(
                "${modelPackage.folder} has no tokenizer; give the prompt as token ids"
            )

    private fun checked(promptIds: IntArray): IntArray {
        if (promptIds.isEmpty()) {
            throw GenerationException(
                "the prompt is empty; give at least one token (to write from nothing, " +
                    "'<|endoftext|>' in most GPT-2 vocabularies)"
            )
        }
        val wrong = promptIds.firstOrNull { it !in 0 until architecture.vocabSize }
        if (wrong != null) {
            throw GenerationException(
                "token id $wrong is outside the vocabulary of ${architecture.vocabSize}"
            )
        }
        return promptIds
    }

    private fun fitting(promptIds: IntArray): IntArray {
        if (checked(promptIds).size > architecture.contextLength) {
            throw ContextOverflowException(
                "the prompt has ${promptIds.size} tokens; the model's context holds " +
                    "${architecture.contextLength}: shorten it"
            )
        }
        return promptIds
    }

    private fun generate(
        promptIds: IntArray,
        decoding: Decoding,
        cancelled: () -> Boolean,
        onEvent: (TextEvent) -> Unit,
    ): GenerationResult {
        if (decoding.stopStrings.isNotEmpty()) requireTokenizer()
        decoding.requireTokens(architecture.vocabSize)
        val context = architecture.contextLength
        val prompt =
            if (decoding.slides) fitted(checked(promptIds), context, decoding.keep) else fitting(promptIds)
        return session.whileOpen {
            val seed = if (decoding.samples) decoding.seed ?: freshSeed() else null
            val progress = Progress(prompt.size, decoding, seed)
            val writer = TextWriter(tokenizer?.detokenizer(), decoding.stopStrings, decoding.includeStopStr)
            val room = prompt.size.toLong() + decoding.maxNewTokens - 1
            session.start(minOf(room, context.toLong()).toInt()).use { sequence ->
                val eosIds = decoding.eosIds(modelPackage.manifest.eosTokenIds)
                val loop =
                    DecodeLoop(sequence, decoding, eosIds, seed ?: 0, writer) {
                        if (cancelled()) "cancelled" else if (progress.isLate()) "time" else null
                    }
                val reason =
                    loop.run(prompt) { event ->
                        progress.add(event)
                        onEvent(event)
                    }
                progress.result(reason)
            }
        }
    }

    companion object {
        private const val MOST_THREADS = 1024 // ONNX Runtime starts as many as it is asked for
        private const val NEW_SEED_BITS = 53 // JSON readers with float64 numbers keep it exact

        /**
         * Loads the package in [folder], of the flavour fused (any recipe, any type of cache).
         *
         * threads: of ONNX Runtime; 0 takes one for each big core. verify: compare the SHA-256 of the
         * files with the manifest. availableMemory: in bytes; a package that needs more, its cache
         * full, is refused. Raises PackageException (also for other flavours), MemoryException, and
         * GenerationException for a number of threads that no device has.
         */
        fun load(
            folder: File,
            threads: Int = 0,
            verify: Boolean = true,
            availableMemory: Long? = null,
        ): Generator {
            if (threads !in 0..MOST_THREADS) {
                throw GenerationException(
                    "threads is $threads; it must be 0 (one for each big core) to $MOST_THREADS"
                )
            }
            val opened = ModelPackage.open(folder, verifyHashes = false)
            if (availableMemory != null) requireMemory(opened, availableMemory)
            // The small files are hashed as they are read, so that what is used is what was compared.
            if (verify) opened.checkHashes(opened.graphFiles())
            fun hash(name: String) = if (verify) opened.manifest.files.getValue(name).sha256 else null
            val tokenizer = opened.manifest.tokenizer?.let { Tokenizer.read(File(folder, it), hash(it)) }
            val defaults =
                opened.defaultsFile()?.let { readGenerationDefaults(File(folder, it), hash(it)) }
            return Generator(Session(opened, threads), tokenizer, defaults ?: GenerationConfig())
        }

        private fun requireMemory(opened: ModelPackage, available: Long) {
            val needed = opened.memoryBytes(opened.manifest.architecture.contextLength)
            if (needed > available) {
                throw MemoryException(
                    "${opened.folder} needs ${megabytes(needed)} of memory, ${megabytes(available)} " +
                        "are free: close other applications, or export a smaller recipe"
                )
            }
        }

        private fun freshSeed(): Long = SecureRandom().nextLong() ushr (64 - NEW_SEED_BITS)
    }
}
