package dev.gpt2edge

/*
 * Choosing the next token from its logits, as runtime/gpt2_edge/sampling.py defines it: candidates are
 * ordered by logit, then by id; probabilities are Doubles (only the sum over a whole vocabulary adds
 * Float exponentials); the draw is SplitMix64 through the inverse cumulative distribution.
 */

/**
 * From logits to a token id, for new token number [number] (from 0); pure in both. One for each
 * generation, because it has scratch space.
 */
internal fun interface Sampler {
    fun choose(logits: FloatArray, number: Int): Int
}

/** The sampler that [decoding] asks for. */
internal fun makeSampler(decoding: Decoding, seed: Long): Sampler {
    if (!decoding.samples) return Sampler { logits, _ -> greedy(logits) }
    val candidates = makeCandidates(decoding)
    return Sampler { logits, number ->
        val uniform = draw(seed, number)
        candidates.select(logits, reach = uniform)
        candidates.at(uniform)
    }
}

/** What chooses the tokens that [decoding] lets be drawn. */
internal fun makeCandidates(decoding: Decoding) =
    Candidates(decoding.temperature, decoding.topK, decoding.topP, decoding.minP, decoding.typicalP)

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

/** Softmax of [logits] at [ids], over the whole vocabulary. */
internal fun probabilities(logits: FloatArray, ids: IntArray): DoubleArray {
    val peak = logits[greedy(logits)]
    var sum = 0.0
    for (logit in logits) sum += Math.exp((logit - peak).toDouble())
    return DoubleArray(ids.size) { Math.exp((logits[ids[it]] - peak).toDouble()) / sum }
}
