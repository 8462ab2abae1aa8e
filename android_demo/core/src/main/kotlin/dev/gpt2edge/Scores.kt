package dev.gpt2edge

/**
 * One token of a text, given all before it. text: as Generator.tokenLabel has it. logprob: the natural
 * logarithm of its probability over the whole vocabulary; rank: 1 for the most likely token. Both are
 * null for a first token that nothing precedes.
 */
data class ScoredToken(val id: Int, val text: String, val logprob: Double?, val rank: Int?)

/**
 * How likely a continuation is after its context. logprob: of all of it, the sum of [logprobs], one
 * for each token. greedy: whether each token is the most likely one after those before it.
 */
data class Continuation(val logprob: Double, val greedy: Boolean, val logprobs: List<Double>)

/**
 * How well a model predicts a text.
 *
 * tokens: how many were predicted. negativeLogLikelihood: of all of them, in nats. standardError: of
 * [perplexity], if the tokens' log-probabilities were independent; NaN for a single one. window and
 * stride are in tokens. textBytes: what the predicted tokens stand for in UTF-8; null where only ids
 * are known, or where windows left tokens out.
 */
data class Perplexity(
    val tokens: Int,
    val negativeLogLikelihood: Double,
    val standardError: Double,
    val window: Int,
    val stride: Int,
    val textBytes: Int? = null,
) {
    /** The exponential of the mean negative log-likelihood of a token. */
    val perplexity: Double
        get() = Math.exp(negativeLogLikelihood / tokens)

    /** Comparable between vocabularies, as perplexity is not; null without textBytes. */
    val bitsPerByte: Double?
        get() = textBytes?.takeIf { it > 0 }?.let { negativeLogLikelihood / Math.log(2.0) / it }
}
