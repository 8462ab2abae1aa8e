package dev.gpt2edge

/** One option for the next token, with its probability (0 to 1) over the whole vocabulary. */
data class NextToken(val id: Int, val text: String, val probability: Double)

/** Whether this device computes what the exporting machine did; [message] says what differs. */
data class SelfTestReport(val passed: Boolean, val message: String)

/**
 * What a generation came to.
 *
 * text: the new text, without the prompt and without a stop string; empty where the package has no
 * tokenizer. ids: all new token ids, the end-of-text token or those of a stop string included.
 * finishReason: "eos", "stop" (a stop string), "length" (maxNewTokens, or the context is full) or
 * "cancelled". Rates are in tokens per second, 0 where nothing was measured: the prefill's time
 * includes choosing the first token, which decoding then does not count. seed: of the random
 * generator, null for greedy decoding.
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
)
