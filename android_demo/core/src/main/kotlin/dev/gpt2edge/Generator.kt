package dev.gpt2edge

import java.io.File
import java.security.SecureRandom

/**
 * A loaded package that writes text. Calls block: make them from a worker thread. Threads may share
 * one, since every generation has a cache of its own; [close] waits for those that are running.
 *
 * The process may end meanwhile, by exitProcess or as main returns, with its own exit status: a shutdown hook
 * waits for the step that runs, texts end as if cancelled, and other calls with a GPT2EdgeException (Closed).
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
     * character. [cancelled] is asked before every step; the result then has the text so far. With a
     * [cache] of [newCache], what it holds of the prompt is not read again.
     *
     * Raises GenerationException and ContextOverflowException for a prompt that cannot be taken, and
     * GenerationException for settings that this package cannot meet, and for a model whose logits are
     * not numbers.
     */
    fun stream(
        prompt: String,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        cache: PromptCache? = null,
        onText: (String) -> Unit,
    ): GenerationResult =
        streamEvents(prompt, config, cancelled, cache) { if (it.text.isNotEmpty()) onText(it.text) }

    /** Like [stream] with token ids in and out; works without a tokenizer, and with one gives text. */
    fun streamIds(
        promptIds: IntArray,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        cache: PromptCache? = null,
        onToken: (Int) -> Unit = {},
    ): GenerationResult = streamEvents(promptIds, config, cancelled, cache) { it.ids.forEach(onToken) }

    /** Like [stream], with the ids and log-probabilities behind the text. */
    fun streamEvents(
        prompt: String,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        cache: PromptCache? = null,
        onEvent: (TextEvent) -> Unit,
    ): GenerationResult = streamEvents(encode(prompt), config, cancelled, cache, onEvent)

    /** Like [streamIds], with the text and log-probabilities of the ids. */
    fun streamEvents(
        promptIds: IntArray,
        config: GenerationConfig,
        cancelled: () -> Boolean = { false },
        cache: PromptCache? = null,
        onEvent: (TextEvent) -> Unit,
    ): GenerationResult = write(promptIds, Decoding(config, generationConfig), cancelled, cache, onEvent)

    /** Like [stream], with all of the text at the end. */
    fun generate(
        prompt: String,
        config: GenerationConfig = GenerationConfig(),
        cancelled: () -> Boolean = { false },
        cache: PromptCache? = null,
    ): GenerationResult = streamEvents(prompt, config, cancelled, cache) {}

    /**
     * The [k] tokens that most likely come next after [prompt], most likely first. Their probabilities are
     * the model's, over the whole vocabulary; with temperature, topK or topP (as in GenerationConfig; what
     * is null changes nothing) those that a token is drawn with, and there may be fewer than [k] left.
     * cache: of [newCache]; of the prompt, only what it does not hold is read, and one more token costs
     * one step (which in quantized packages rounds otherwise than a prompt read at once).
     */
    fun nextTokens(
        prompt: String,
        k: Int = 10,
        temperature: Float? = null,
        topK: Int? = null,
        topP: Float? = null,
        cache: PromptCache? = null,
    ): List<NextToken> = nextTokens(encode(prompt), k, temperature, topK, topP, cache)

    /** Like the other one, after token ids; works without a tokenizer. */
    fun nextTokens(
        promptIds: IntArray,
        k: Int = 10,
        temperature: Float? = null,
        topK: Int? = null,
        topP: Float? = null,
        cache: PromptCache? = null,
    ): List<NextToken> {
        val choose = likeliestChooser(k, GenerationConfig(temperature = temperature, topK = topK, topP = topP))
        val logits = logits(promptIds, cache)
        if (!areNumbers(logits)) throw session.notNumbers(promptIds.size)
        val found = choose(logits)
        return found.ids.indices.map { NextToken(found.ids[it], tokenLabel(found.ids[it]), found.probabilities[it]) }
    }

    /** Logits after [promptIds], one for each token of the vocabulary; cache as in [nextTokens]. */
    fun logits(promptIds: IntArray, cache: PromptCache? = null): FloatArray {
        val prompt = fitting(promptIds)
        if (cache != null) return session.whileOpen { cache.logitsAfter(session, prompt).copyOf() }
        return logits(prompt, PREFILL_CHUNK)
    }

    /** An empty cache, with room for the whole context. */
    fun newCache() = PromptCache(session)

    /**
     * Each of [ids], two or more, with its log-probability and rank. bos: the first is predicted too, from
     * the package's bos token, unless that is what the ids begin with. The first call that scores loads
     * the graph a second time, from the same files. Raises GenerationException and
     * ContextOverflowException.
     */
    fun scoreTokens(ids: IntArray, bos: Boolean = false): List<ScoredToken> = scoring { tokens(ids, bos) }

    /**
     * How likely [continuationIds] are after [contextIds]: of a context that does not fit the beginning
     * is dropped, and an empty one becomes the bos token. Raises as [scoreTokens].
     */
    fun continuation(contextIds: IntArray, continuationIds: IntArray): Continuation =
        scoring { continuation(contextIds, continuationIds) }

    /**
     * Perplexity of [ids], however many: a window of [window] tokens (the context length) moves on by
     * [stride] (half the window), and the tokens that were in no window before are predicted. bos as in
     * [scoreTokens]. Raises GenerationException for fewer than two ids or a window out of range.
     */
    fun perplexity(ids: IntArray, window: Int? = null, stride: Int? = null, bos: Boolean = false): Perplexity =
        scoring { perplexity(ids, window, stride, bos) }

    /** Perplexity of a text, with its bits per byte. */
    fun perplexity(text: String, window: Int? = null, stride: Int? = null, bos: Boolean = false): Perplexity =
        scoring { perplexity(text, window, stride, bos) }

    /** Token ids of [text], as [Tokenizer.encode] has them; GenerationException without a tokenizer. */
    fun encode(text: String): IntArray = requireTokenizer().encode(text)

    /** One token as text for people; without a tokenizer, its number. */
    fun tokenLabel(id: Int): String = tokenizer?.label(id) ?: id.toString()

    /** Runs the manifest's self-test; its message is one line. */
    fun selfTest(): SelfTestReport = runSelfTest(this)

    override fun close() = session.close()

    /** Logits after [prompt], read in parts of at most [chunk] tokens. */
    internal fun logits(prompt: IntArray, chunk: Int): FloatArray =
        session.whileOpen {
            session.start(prompt.size).use { sequence ->
                sequence.prefill(prompt, chunk)
                sequence.logits
            }
        }

    private fun <T> scoring(work: Scoring.() -> T): T = session.whileOpen { Scoring(this, session).work() }

    internal fun requireTokenizer(): Tokenizer =
        tokenizer
            ?: throw GenerationException(
                "${modelPackage.folder} has no tokenizer; give the prompt as token ids",
                Problem.NoTokenizer,
            )

    /** [ids], of which none is outside the vocabulary. */
    internal fun inVocabulary(ids: IntArray): IntArray {
        val wrong = ids.firstOrNull { it !in 0 until architecture.vocabSize } ?: return ids
        throw GenerationException(
            "token id $wrong is outside the vocabulary of ${architecture.vocabSize}",
            Problem.UnknownToken(wrong, architecture.vocabSize),
        )
    }

    private fun checked(promptIds: IntArray): IntArray {
        if (promptIds.isEmpty()) {
            throw GenerationException(
                "the prompt is empty; give at least one token (to write from nothing, " +
                    "'<|endoftext|>' in most GPT-2 vocabularies)",
                Problem.NoPrompt,
            )
        }
        return inVocabulary(promptIds)
    }

    private fun fitting(promptIds: IntArray): IntArray {
        if (checked(promptIds).size > architecture.contextLength) {
            throw ContextOverflowException(
                "the prompt has ${promptIds.size} tokens; the model's context holds " +
                    "${architecture.contextLength}: shorten it",
                Problem.PromptTooLong(promptIds.size, architecture.contextLength),
            )
        }
        return promptIds
    }

    internal fun write(
        promptIds: IntArray,
        decoding: Decoding,
        cancelled: () -> Boolean = { false },
        cache: PromptCache? = null,
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
            val write = { sequence: TokenSequence ->
                val eosIds = decoding.eosIds(modelPackage.manifest.eosTokenIds)
                val loop =
                    DecodeLoop(sequence, decoding, eosIds, seed ?: 0, writer) {
                        if (cancelled() || ProcessEnd.begun) "cancelled" else if (progress.isLate()) "time" else null
                    }
                val reason =
                    loop.run(prompt) { event ->
                        progress.add(event)
                        onEvent(event)
                    }
                progress.result(reason)
            }
            if (cache != null) cache.use(session, write)
            else session.start(minOf(room, context.toLong()).toInt()).use(write)
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
                    "threads is $threads; it must be 0 (one for each big core) to $MOST_THREADS",
                    Problem.OutOfRange("threads", "$threads"),
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
            val session = ProcessEnd.computing { Session(opened, threads) }
            return Generator(session, tokenizer, defaults ?: GenerationConfig())
        }

        private fun requireMemory(opened: ModelPackage, available: Long) {
            val needed = opened.memoryBytes(opened.manifest.architecture.contextLength)
            if (needed > available) {
                throw MemoryException(
                    "${opened.folder} needs ${megabytes(needed)} of memory, ${megabytes(available)} " +
                        "are free: close other applications, or export a smaller recipe",
                    Problem.TooLarge(needed, available),
                )
            }
        }

        private fun freshSeed(): Long = SecureRandom().nextLong() ushr (64 - NEW_SEED_BITS)
    }
}
