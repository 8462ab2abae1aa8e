package dev.gpt2edge

/** How far a generation is, and how long it took since this was made. */
internal class Progress(private val promptTokens: Int, private val decoding: Decoding, private val seed: Long?) {
    private val text = StringBuilder()
    private val ids = IntList()
    private val logprobs = ArrayList<Double>()
    private val topLogprobs = ArrayList<List<TokenLogprob>>()
    private val started = System.nanoTime()
    private var first = 0L
    private var last = 0L

    fun add(event: TextEvent) {
        text.append(event.text)
        logprobs.addAll(event.logprobs)
        topLogprobs.addAll(event.topLogprobs)
        if (event.ids.isEmpty()) return
        last = System.nanoTime()
        if (ids.size == 0) first = last
        event.ids.forEach(ids::add)
    }

    /** Whether maxTime is over. */
    fun isLate(): Boolean {
        val seconds = decoding.maxTime ?: return false
        return System.nanoTime() - started >= (seconds * 1e9).toLong()
    }

    fun result(finishReason: String): GenerationResult {
        val count = ids.size
        val firstSeconds = (if (count > 0) first - started else System.nanoTime() - started) / 1e9
        val decodeSeconds = (last - first) / 1e9
        return GenerationResult(
            text = text.toString(),
            ids = ids.toArray(),
            finishReason = finishReason,
            promptTokens = promptTokens,
            timeToFirstTokenSeconds = firstSeconds,
            prefillTokensPerSecond =
                if (count > 0 && firstSeconds > 0) promptTokens / firstSeconds else 0.0,
            decodeTokensPerSecond =
                if (count > 1 && decodeSeconds > 0) (count - 1) / decodeSeconds else 0.0,
            seed = seed,
            logprobs = if (decoding.logprobs) logprobs else null,
            topLogprobs = if (decoding.topLogprobs > 0) topLogprobs else null,
        )
    }
}
