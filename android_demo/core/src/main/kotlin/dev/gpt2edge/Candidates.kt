package dev.gpt2edge

private const val FIRST_CANDIDATES = 1024
private const val COLDEST = 1e-30 // Float logits divided by less overflow; greedy long before

/**
 * What remains of logits after temperature, topK (0: all), topP and minP, then typicalP; most likely
 * first. topP and minP both see the probabilities of the topK; the least of what they keep stays.
 */
internal class Candidates(
    temperature: Double,
    private val topK: Int,
    private val topP: Double = 1.0,
    private val minP: Double = 0.0,
    private val typicalP: Double = 1.0,
) {
    private val temperature = maxOf(temperature, COLDEST)
    private val truncates = topP < 1 || minP > 0
    private val largest = Largest()

    // Of the candidates, most likely first: the first weighs 1.
    private var weights = DoubleArray(0)
    private var cumulative = DoubleArray(0)
    private var first = 0 // those before it, and from end on, may not be drawn
    private var end = 0
    private var whole = 1.0 // the cumulative probability that a draw of 1 stands for

    /** How many tokens may be drawn. */
    val size: Int
        get() = end - first

    /** The token that comes at [place], from 0 on, among those that may be drawn. */
    fun id(place: Int): Int = largest.ids[first + place]

    /** With which probability that token is drawn, where [select] had a reach of 1. */
    fun probability(place: Int): Double {
        val index = first + place
        return (cumulative[index] - if (place == 0) 0.0 else cumulative[index - 1]) / whole
    }

    /**
     * Chooses among [logits]. Where topK allows the whole vocabulary, tokens are only sorted as far as
     * topP, minP or a draw of [reach] needs: sorting all would cost more than the rest.
     */
    fun select(logits: FloatArray, reach: Double = 1.0) {
        var k = if (topK == 0) logits.size else minOf(topK, logits.size)
        val wholeVocabulary = k == logits.size
        val total = if (wholeVocabulary) sumOfExponentials(logits) else 0.0
        if (wholeVocabulary && typicalP == 1.0) k = minOf(k, FIRST_CANDIDATES)
        while (true) {
            accumulate(logits, k, total)
            end = truncated(k)
            val enough = if (truncates) end < k else cumulative[k - 1] > reach
            if (!wholeVocabulary || enough || k == logits.size) break
            k = minOf(8L * k, logits.size.toLong()).toInt()
        }
        val complete = truncates || !wholeVocabulary || k == logits.size
        first = 0
        if (typicalP < 1) keepTypical()
        whole = if (complete) cumulative[end - 1] else 1.0
    }

    /** The token that the uniform number [uniform] in [0, 1) draws. */
    fun at(uniform: Double): Int {
        val point = uniform * whole
        return largest.ids[minOf(firstThat(first, end) { cumulative[it] > point }, end - 1)]
    }

    /** The [k] most likely with their cumulative probabilities; a [total] of 0 is their own sum. */
    private fun accumulate(logits: FloatArray, k: Int, total: Double) {
        largest.find(logits, k)
        if (weights.size < k) {
            weights = DoubleArray(k)
            cumulative = DoubleArray(k)
        }
        val peak = logits[largest.ids[0]].toDouble()
        var sum = 0.0
        for (index in 0 until k) {
            weights[index] = Math.exp((logits[largest.ids[index]].toDouble() - peak) / temperature)
            sum += weights[index]
        }
        val divisor = if (total > 0) total else sum
        var reached = 0.0
        for (index in 0 until k) {
            reached += weights[index] / divisor
            cumulative[index] = reached
        }
    }

    private fun sumOfExponentials(logits: FloatArray): Double {
        val peak = logits[greedy(logits)]
        val divisor = temperature.toFloat()
        var sum = 0.0
        for (logit in logits) sum += Math.exp(((logit - peak) / divisor).toDouble()).toFloat()
        return sum
    }

    /**
     * How many of [k] stay. topP (Holtzman et al. 2020): a token stays while those before it sum to
     * less. minP (Nguyen et al. 2024): tokens that are at least minP times as likely as the first.
     */
    private fun truncated(k: Int): Int {
        var kept = k
        if (topP < 1) kept = minOf(kept, firstThat(0, k) { cumulative[it] >= topP } + 1)
        if (minP > 0) kept = minOf(kept, firstThat(0, k) { weights[it] < minP })
        return kept
    }

    /**
     * Locally typical sampling (Meister et al. 2022): those stay whose information content is nearest
     * to the entropy, until they sum to typicalP, and with the last of them all that are as near.
     *
     * Information grows from one candidate to the next, so those that stay are neighbours: from where it
     * passes the entropy they are taken on both sides, the nearer one first.
     */
    private fun keepTypical() {
        var sum = 0.0
        for (index in 0 until end) sum += weights[index]
        fun information(index: Int) = -Math.log(weights[index] / sum)
        var entropy = 0.0
        for (index in 0 until end) {
            if (weights[index] > 0) entropy += weights[index] / sum * information(index)
        }
        fun distance(index: Int) = Math.abs(information(index) - entropy)
        var before = firstThat(0, end) { information(it) > entropy } - 1
        var behind = before + 1
        var reached = 0.0
        var farthest = 0.0
        while (before >= 0 || behind < end) {
            val nearer = behind == end || before >= 0 && distance(before) <= distance(behind)
            val next = if (nearer) before-- else behind++
            farthest = distance(next)
            reached += weights[next] / sum
            if (reached >= typicalP) break
        }
        while (before >= 0 && distance(before) <= farthest) before--
        while (behind < end && distance(behind) <= farthest) behind++
        first = before + 1
        end = behind
        reached = 0.0
        for (index in first until end) {
            reached += weights[index]
            cumulative[index] = reached
        }
    }

    /** The first of the places [from] to [to] that [passes], where all behind it do; [to] if none does. */
    private inline fun firstThat(from: Int, to: Int, passes: (Int) -> Boolean): Int {
        var low = from
        var high = to
        while (low < high) {
            val middle = (low + high) ushr 1
            if (passes(middle)) high = middle else low = middle + 1
        }
        return low
    }
}
