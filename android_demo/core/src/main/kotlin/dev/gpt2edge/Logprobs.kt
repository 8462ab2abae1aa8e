package dev.gpt2edge


/** Log-probabilities of tokens over the whole vocabulary, and those of the [most] most likely ones. */
internal class Logprobs(private val most: Int) {
    private val largest = Largest()
    private var peak = 0f
    private var logOfSum = 0.0

    /** Takes in [logits], of which one at least is a number and none is NaN. */
    fun read(logits: FloatArray) {
        peak = logits[greedy(logits)]
        var sum = 0.0
        for (logit in logits) sum += Math.exp((logit - peak).toDouble()).toFloat()
        logOfSum = Math.log(sum)
        if (most > 0) largest.find(logits, most)
    }

    /** That of token [id] in the [logits] that were read. */
    fun of(logits: FloatArray, id: Int): Double = (logits[id] - peak).toDouble() - logOfSum

    /** The most likely tokens, most likely first. */
    fun top(logits: FloatArray): List<TokenLogprob> =
        List(largest.size) { TokenLogprob(largest.ids[it], of(logits, largest.ids[it])) }
}
