package dev.gpt2edge

/**
 * Feed, choose, stop? The loop of one generation over one [sequence].
 *
 * [interruption]: asked before every step why it should end there, if it should.
 */
internal class DecodeLoop(
    private val sequence: FedSequence,
    private val decoding: Decoding,
    private val eosIds: Set<Int>,
    seed: Long,
    private val writer: TextWriter,
    private val interruption: () -> String?,
) {
    private val sampler = makeSampler(decoding, seed)
    private val logprobs =
        if (decoding.logprobs || decoding.topLogprobs > 0) Logprobs(decoding.topLogprobs) else null
    private var interrupted: String? = null

    /**
     * Continues [prompt], which fits the sequence, and gives [onEvent] what each step adds; why it ended.
     * GenerationException for logits that no token can be chosen from.
     */
    fun run(prompt: IntArray, onEvent: (TextEvent) -> Unit): String {
        val text = IntList(prompt.size + 1).apply { prompt.forEach(::add) }
        val vocabulary = sequence.logits.size
        val processors = makeProcessors(decoding, eosIds, prompt.size, vocabulary)
        // The model's own logits stay as they are for log-probabilities.
        val processed = if (processors.isEmpty()) null else FloatArray(vocabulary)
        // A prompt cache may hold its beginning; the last token is read for its logits.
        val stays = minOf(commonPrefix(sequence.ids(), prompt), prompt.size - 1)
        sequence.trim(stays)
        val unread = prompt.copyOfRange(stays, prompt.size)
        if (!sequence.prefill(unread, ::isInterrupted)) return broken(onEvent)
        while (true) {
            val logits = processed?.also { process(processors, text, it) } ?: sequence.logits
            if (!areNumbers(logits)) throw sequence.notNumbers()
            val id = sampler.choose(logits, text.size - prompt.size)
            text.add(id)
            var piece = writer.push(id)
            var reason = reasonToEnd(id, text.size - prompt.size)
            if (reason != null) {
                piece += writer.finish()
                if (writer.stopped) reason = "stop"
            }
            onEvent(event(id, piece))
            if (reason != null) return reason
            if (!feed(id)) return broken(onEvent)
        }
    }

    private fun process(processors: List<Processor>, text: IntList, logits: FloatArray) {
        sequence.logits.copyInto(logits)
        for (processor in processors) processor.process(text, logits)
        if (logits.all { it == Float.NEGATIVE_INFINITY }) {
            throw GenerationException(
                "every token is forbidden here: the settings of this generation rule each other out",
                Problem.EveryTokenForbidden,
            )
        }
    }

    private fun reasonToEnd(id: Int, written: Int): String? =
        when {
            writer.stopped -> "stop"
            id in eosIds -> "eos"
            written == decoding.maxNewTokens -> "length"
            sequence.length == sequence.capacity && !decoding.slides -> "length"
            else -> null
        }

    private fun event(id: Int, piece: String): TextEvent {
        if (logprobs == null) return TextEvent(piece, listOf(id))
        val logits = sequence.logits
        if (!areNumbers(logits)) throw sequence.notNumbers()
        logprobs.read(logits)
        return TextEvent(
            piece,
            listOf(id),
            if (decoding.logprobs) listOf(logprobs.of(logits, id)) else emptyList(),
            if (decoding.topLogprobs > 0) listOf(logprobs.top(logits)) else emptyList(),
        )
    }

    /** Feeds a new token; where the window is full, behind what it keeps. False if interrupted. */
    private fun feed(id: Int): Boolean {
        var pending: IntArray? = null
        if (sequence.length == sequence.capacity) {
            val ids = sequence.ids()
            val window = slid(ids, decoding.keep)
            val stays = commonPrefix(ids, window)
            sequence.trim(stays)
            pending = window.copyOfRange(stays, window.size) + id
        }
        // A lone token is a step, as any other.
        if (pending != null && pending.size > 1) return sequence.prefill(pending, ::isInterrupted)
        if (isInterrupted()) return false
        sequence.feed(id)
        return true
    }

    private fun isInterrupted(): Boolean {
        interrupted = interruption()
        return interrupted != null
    }

    /** Ends a text where it was interrupted, with what was held back of it. */
    private fun broken(onEvent: (TextEvent) -> Unit): String {
        val rest = writer.finish()
        if (rest.isNotEmpty()) onEvent(TextEvent(rest))
        return if (writer.stopped) "stop" else checkNotNull(interrupted)
    }
}
