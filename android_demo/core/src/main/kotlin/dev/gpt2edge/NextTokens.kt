package dev.gpt2edge

/** Ids of tokens, most likely first, and with which probability each is drawn. */
internal class Likeliest(val ids: IntArray, val probabilities: DoubleArray)

/**
 * What makes of logits the [count] tokens that are drawn most often. [settings] leave out what changes
 * nothing: without any, the probabilities are the model's own. GenerationException for a value out of
 * its range.
 */
internal fun likeliestChooser(count: Int, settings: GenerationConfig): (FloatArray) -> Likeliest {
    if (count < 1) throw GenerationException("k is $count; it must be at least 1", Problem.OutOfRange("k", "$count"))
    val cutsNothing = GenerationConfig(doSample = true, temperature = 1f, topK = 0, topP = 1f)
    val decoding = Decoding(settings, cutsNothing)
    return { logits ->
        val cuts = !decoding.samples || decoding.topK > 0 || decoding.topP < 1
        if (cuts || decoding.temperature != 1.0) drawn(logits, count, decoding) else byTheModel(logits, count)
    }
}

private fun byTheModel(logits: FloatArray, count: Int): Likeliest {
    val largest = Largest().apply { find(logits, count) }
    val ids = largest.ids.copyOf(largest.size)
    return Likeliest(ids, probabilities(logits, ids))
}

private fun drawn(logits: FloatArray, count: Int, decoding: Decoding): Likeliest {
    val topK = if (decoding.samples) decoding.topK else 1
    val candidates = Candidates(decoding.temperature, topK, decoding.topP)
    candidates.select(logits)
    val kept = minOf(count, candidates.size)
    return Likeliest(IntArray(kept, candidates::id), DoubleArray(kept, candidates::probability))
}
