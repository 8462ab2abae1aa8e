package dev.gpt2edge

/*
 * Choosing the next token from its logits, as runtime/gpt2_edge/sampling.py defines it: candidates are
 * ordered by logit, then by id; probabilities are Doubles (only the sum over a whole vocabulary adds
 * Float exponentials); the draw is SplitMix64 through the inverse cumulative distribution.
 */

private const val FIRST_CANDIDATES = 1024
private const val COLDEST = 1e-30 // Float logits divided by less overflow; greedy long before

/** From logits to a token id; one for each generation, because it draws and has scratch space. */
internal fun interface Sampler {
    fun choose(logits: FloatArray): Int
}

/** The sampler that [decoding] asks for. */
internal fun makeSampler(decoding: Decoding, seed: Long): Sampler =
    if (decoding.samples) RandomSampler(decoding, seed) else Sampler(::greedy)

/** Whether a token can be chosen from [logits]: none is NaN, and the largest is finite. */
internal fun areNumbers(logits: FloatArray): Boolean {
    var largest = Float.NEGATIVE_INFINITY
    for (logit in logits) {
        if (logit.isNaN()) return false
        if (logit > largest) largest = logit
    }
    return largest > Float.NEGATIVE_INFINITY && largest < Float.POSITIVE_INFINITY
}

/** The most likely token; the lowest id among equals. */
internal fun greedy(logits: FloatArray): Int {
    var best = 0
    for (id in 1 until logits.size) if (logits[id] > logits[best]) best = id
    return best
}

private class RandomSampler(decoding: Decoding, seed: Long) : Sampler {
    private val candidates =
        Candidates(
            temperature = decoding.temperature,
            topK = if (decoding.topK == 0) Int.MAX_VALUE else decoding.topK,
            topP = decoding.topP,
        )
    private val random = SplitMix64(seed)

    override fun choose(logits: FloatArray): Int {
        val uniform = random.uniform()
        candidates.select(logits, reach = uniform)
        return candidates.at(uniform)
    }
}

/** What remains of logits after temperature, then topK, then topP. */
internal class Candidates(temperature: Double, private val topK: Int, private val topP: Double) {
    private val temperature = maxOf(temperature, COLDEST)
    private val largest = Largest()

    /** The tokens that may be drawn, most likely first: [size] of them. */
    val ids: IntArray
        get() = largest.ids

    var size = 0
        private set

    private var cumulative = DoubleArray(0)
    private var whole = 1.0 // the cumulative probability that a draw of 1 stands for

    /**
     * A token passes topP while the ones before it sum to less than topP of the topK. Where topK
     * allows the whole vocabulary, tokens are only sorted as far as topP or a draw of [reach] needs.
     */
    fun select(logits: FloatArray, reach: Double) {
        var k = minOf(topK, logits.size)
        val wholeVocabulary = k == logits.size
        val total = if (wholeVocabulary) sumOfExponentials(logits) else 0.0
        if (wholeVocabulary) k = minOf(k, FIRST_CANDIDATES)
        val needed = if (topP < 1) topP else reach
        while (true) {
            accumulate(logits, k, total)
            if (!wholeVocabulary || cumulative[k - 1] > needed || k == logits.size) break
            k = minOf(8 * k, logits.size)
        }
        size = if (topP < 1) minOf(firstAtLeast(topP, k) + 1, k) else k
        val complete = topP < 1 || !wholeVocabulary || k == logits.size
        whole = if (complete) cumulative[size - 1] else 1.0
    }

    /** The token that the uniform number [uniform] in [0, 1) draws. */
    fun at(uniform: Double): Int = ids[minOf(firstAbove(uniform * whole), size - 1)]

    /** The [k] most likely with their cumulative probabilities; a [total] of 0 is their own sum. */
    private fun accumulate(logits: FloatArray, k: Int, total: Double) {
        largest.find(logits, k)
        if (cumulative.size < k) cumulative = DoubleArray(k)
        val peak = logits[ids[0]].toDouble()
        var sum = 0.0
        for (index in 0 until k) {
            val weight = Math.exp((logits[ids[index]].toDouble() - peak) / temperature)
            cumulative[index] = weight
            sum += weight
        }
        val divisor = if (total > 0) total else sum
        var reached = 0.0
        for (index in 0 until k) {
            reached += cumulative[index] / divisor
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

    private fun firstAtLeast(value: Double, count: Int): Int = first(count) { it >= value }

    private fun firstAbove(value: Double): Int = first(size) { it > value }

    private inline fun first(count: Int, passes: (Double) -> Boolean): Int {
        var low = 0
        var high = count
        while (low < high) {
            val middle = (low + high) ushr 1
            if (passes(cumulative[middle])) high = middle else low = middle + 1
        }
        return low
    }
}

/** Divides the logits of tokens that are in a text by a penalty, each once, as they come. */
internal class RepetitionPenalty(private val penalty: Float, vocabulary: Int) {
    private val seen = BooleanArray(vocabulary)
    private val ids = IntList()

    fun add(id: Int) {
        if (!seen[id]) ids.add(id)
        seen[id] = true
    }

    fun apply(logits: FloatArray) {
        for (index in 0 until ids.size) {
            val id = ids[index]
            val logit = logits[id]
            logits[id] = if (logit < 0) logit * penalty else logit / penalty
        }
    }
}

/** Softmax of [logits] at [ids], over the whole vocabulary. */
internal fun probabilities(logits: FloatArray, ids: IntArray): DoubleArray {
    val peak = logits[greedy(logits)]
    var sum = 0.0
    for (logit in logits) sum += Math.exp((logit - peak).toDouble())
    return DoubleArray(ids.size) { Math.exp((logits[ids[it]] - peak).toDouble()) / sum }
}
