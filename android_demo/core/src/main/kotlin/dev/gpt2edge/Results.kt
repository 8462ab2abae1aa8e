package dev.gpt2edge

/** One option for the next token, with its probability (0 to 1) over the whole vocabulary. */
data class NextToken(val id: Int, val text: String, val probability: Double)

/** Whether this device computes what the exporting machine did; [message] says what differs. */
data class SelfTestReport(val passed: Boolean, val message: String)

/** A token that could have come, with the natural logarithm of its probability. */
data class TokenLogprob(val id: Int, val logprob: Double)

/**
 * What a step added to a text: [text] that became certain, and the tokens that it wrote.
 *
 * logprobs: of each of [ids], and topLogprobs: for each of them the most likely tokens, most likely
 * first, where the settings ask for them. The text of a token may come with a later event.
 */
data class TextEvent(
    val text: String,
    val ids: List<Int> = emptyList(),
    val logprobs: List<Double> = emptyList(),
    val topLogprobs: List<List<TokenLogprob>> = emptyList(),
)

/**
 * What a generation came to.
 *
 * text: the new text, without the prompt and without a stop string (unless includeStopStr asks for
 * it); empty where the package has no tokenizer. ids: all new token ids, the end-of-text token or
 * those of a stop string included. finishReason: "eos", "stop" (a stop string), "length"
 * (maxNewTokens, or the context is full), "time" (maxTime) or "cancelled". promptTokens: those that
 * were fed; contextOverflow "slide" leaves out what does not fit. Rates are in tokens per second, 0
 * where nothing was measured: the prefill's time includes choosing the first token, which decoding
 * then does not count. seed: of the random generator, null for greedy decoding. logprobs: one for
 * each id, and topLogprobs: for each id the most likely tokens there; null unless the settings ask
 * for them.
 */
data class GenerationResult(
    val text: String,
    val ids: IntArray,
    val finishReason: String,
    val promptTokens: Int,
    val timeToFirstTokenSeconds: Double,
    val prefillTokensPerSecond: Double,
    val decodeTokensPerSecond: Double,
    val seed: Long? = null,
    val logprobs: List<Double>? = null,
    val topLogprobs: List<List<TokenLogprob>>? = null,
)
