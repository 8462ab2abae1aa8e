package dev.gpt2edge

/** Feed, choose, stop? The loop of one generation. */
internal class DecodeLoop(
    private val sequence: TokenSequence,
    config: GenerationConfig,
    private val decoding: Decoding,
    manifest: Manifest,
    seed: Long,
) {
    private val contextLength = manifest.architecture.contextLength
    private val eosIds = if (config.ignoreEos) emptySet() else manifest.eosTokenIds
    private val sampler = makeSampler(decoding, seed)
    private val penalty =
        config.repetitionPenalty?.takeIf { it != 1f }?.let {
            RepetitionPenalty(it, manifest.architecture.vocabSize)
        }

    /**
     * Calls [onToken] with every new id; it returns true to stop there. GenerationException for logits
     * that no token can be chosen from.
     */
    fun run(promptIds: IntArray, cancelled: () -> Boolean, progress: Progress, onToken: (Int) -> Boolean) {
        penalty?.let { promptIds.forEach(it::add) }
        if (!prefill(promptIds, cancelled)) return progress.finish("cancelled")
        while (true) {
            sequence.requireNumbers()
            penalty?.apply(sequence.logits)
            val id = sampler.choose(sequence.logits)
            penalty?.add(id)
            progress.add(id)
            val stopped = onToken(id)
            if (stopped) return progress.finish("stop")
            if (id in eosIds) return progress.finish("eos")
            val full = sequence.length == contextLength
            if (full || progress.count == decoding.maxNewTokens) return progress.finish("length")
            if (cancelled()) return progress.finish("cancelled")
            sequence.feed(id)
        }
    }

    private fun prefill(promptIds: IntArray, cancelled: () -> Boolean): Boolean {
        if (promptIds.size > 1) return sequence.prefill(promptIds, cancelled = cancelled)
        if (cancelled()) return false
        sequence.feed(promptIds[0])
        return true
    }
}

/** How far a generation is, and how long it took since this was made. */
internal class Progress(private val promptTokens: Int, private val seed: Long?) {
    private val ids = IntList()
    private val started = System.nanoTime()
    private var first = 0L
    private var last = 0L
    var finishReason = "length"

    val count: Int
        get() = ids.size

    fun add(id: Int) {
        ids.add(id)
        last = System.nanoTime()
        if (ids.size == 1) first = last
    }

    fun finish(reason: String) {
        finishReason = reason
    }

    fun result(text: String): GenerationResult {
        val firstSeconds = (if (count > 0) first - started else System.nanoTime() - started) / 1e9
        val decodeSeconds = (last - first) / 1e9
        return GenerationResult(
            text = text,
            ids = ids.toArray(),
            finishReason = finishReason,
            promptTokens = promptTokens,
            timeToFirstTokenSeconds = firstSeconds,
            prefillTokensPerSecond =
                if (count > 0 && firstSeconds > 0) promptTokens / firstSeconds else 0.0,
            decodeTokensPerSecond =
                if (count > 1 && decodeSeconds > 0) (count - 1) / decodeSeconds else 0.0,
            seed = seed,
        )
    }
}

/** Ids to text: whole characters, and nothing of a stop string. */
internal class TextWriter(
    tokenizer: Tokenizer?,
    strings: List<String>,
    private val onText: (String) -> Unit,
) {
    private val detokenizer = tokenizer?.detokenizer()
    private val stops = StopStrings(strings)
    private val shown = StringBuilder()

    val text: String
        get() = shown.toString()

    /** True once a stop string is complete. */
    fun push(id: Int): Boolean {
        if (detokenizer != null) show(stops.push(detokenizer.push(id)))
        return stops.found
    }

    /** Shows what was held back; true if that completed a stop string. */
    fun finish(): Boolean {
        if (detokenizer == null || stops.found) return false
        val rest = stops.push(detokenizer.finish())
        show(rest + if (stops.found) "" else stops.finish())
        return stops.found
    }

    private fun show(piece: String) {
        if (piece.isEmpty()) return
        shown.append(piece)
        onText(piece)
    }
}
