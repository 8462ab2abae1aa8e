package dev.gpt2edge

/*
 * What changes the logits of the next token, given the tokens so far. Names, meanings and order are
 * those of runtime/gpt2_edge/decode/processors.py, which are transformers' and, of presencePenalty and
 * frequencyPenalty, OpenAI's; spec/processors.json has examples.
 */

/** Changes [logits] in place, given [text]: the tokens of prompt and text so far. Nothing else counts. */
internal fun interface Processor {
    fun process(text: IntList, logits: FloatArray)
}

private const val NEVER = Float.NEGATIVE_INFINITY

/** Those that [decoding] asks for behind [prompt] tokens, over a vocabulary of [vocabulary]. */
internal fun makeProcessors(decoding: Decoding, eosIds: Set<Int>, prompt: Int, vocabulary: Int): List<Processor> {
    val made = ArrayList<Processor>()
    if (decoding.sequenceBias.isNotEmpty()) made += sequenceBias(decoding.sequenceBias)
    if (decoding.logitBias.isNotEmpty()) made += sequenceBias(decoding.logitBias.mapKeys { listOf(it.key) })
    if (decoding.repetitionPenalty != 1f) made += repetitionPenalty(decoding.repetitionPenalty, vocabulary)
    if (decoding.presencePenalty != 0f || decoding.frequencyPenalty != 0f) {
        made += presenceFrequencyPenalty(decoding.presencePenalty, decoding.frequencyPenalty, prompt, vocabulary)
    }
    if (decoding.noRepeatNgramSize > 0) made += noRepeatNgram(decoding.noRepeatNgramSize)
    val words = decoding.badWordsIds.filterNot { it.size == 1 && it[0] in eosIds }
    if (words.isNotEmpty()) made += badWords(words)
    if (decoding.minNewTokens > 0 && eosIds.isNotEmpty()) made += minNewTokens(decoding.minNewTokens, eosIds, prompt)
    if (decoding.suppressTokens.isNotEmpty()) made += suppressTokens(decoding.suppressTokens)
    if (decoding.beginSuppressTokens.isNotEmpty()) made += beginSuppressTokens(decoding.beginSuppressTokens, prompt)
    return made
}

/**
 * Adds a bias to the last token of each sequence where the text ends in those before it. A sequence
 * of one token always gets its bias: that is OpenAI's logit_bias.
 */
internal fun sequenceBias(biases: Map<List<Int>, Float>): Processor {
    val sequences = biases.keys.map { it.toIntArray() }
    val values = biases.values.toFloatArray()
    return Processor { text, logits ->
        for (index in sequences.indices) {
            val tokens = sequences[index]
            val begun = tokens.size == 1 || tokens.size <= text.size && endsInBeginning(text, tokens)
            if (begun) logits[tokens.last()] += values[index]
        }
    }
}

/** Never completes one of these sequences of tokens. */
internal fun badWords(words: Collection<List<Int>>): Processor = sequenceBias(words.associateWith { NEVER })

/**
 * Divides logits of tokens that are in prompt or text, each once, and multiplies where they are
 * negative (Keskar et al. 2019, section 4.1).
 */
internal fun repetitionPenalty(penalty: Float, vocabulary: Int): Processor {
    val seen = BooleanArray(vocabulary) // all false between two calls
    return Processor { text, logits ->
        for (index in 0 until text.size) {
            val id = text[index]
            if (seen[id]) continue
            seen[id] = true
            val logit = logits[id]
            logits[id] = if (logit < 0) logit * penalty else logit / penalty
        }
        for (index in 0 until text.size) seen[text[index]] = false
    }
}

/**
 * Takes [presence] off each token of the new text, and [frequency] for every time it is there: logit -
 * count * frequency - (count > 0) * presence, as OpenAI defines it. prompt: how many tokens are not new.
 */
internal fun presenceFrequencyPenalty(presence: Float, frequency: Float, prompt: Int, vocabulary: Int): Processor {
    val counts = IntArray(vocabulary) // all 0 between two calls
    return Processor { text, logits ->
        for (index in prompt until text.size) counts[text[index]]++
        for (index in prompt until text.size) {
            val id = text[index]
            if (counts[id] == 0) continue
            logits[id] -= presence + frequency * counts[id]
            counts[id] = 0
        }
    }
}

/** Never writes a sequence of [size] tokens that is in prompt or text already. */
internal fun noRepeatNgram(size: Int) = Processor { text, logits ->
    val end = text.size - size + 1 // what the text ends in begins there
    for (start in 0 until end) {
        var same = 0
        while (same < size - 1 && text[start + same] == text[end + same]) same++
        if (same == size - 1) logits[text[start + size - 1]] = NEVER
    }
}

/** No end-of-text token before [least] new tokens are written. */
internal fun minNewTokens(least: Int, eosIds: Collection<Int>, prompt: Int): Processor {
    val ids = eosIds.toIntArray()
    return Processor { text, logits -> if (text.size - prompt < least) for (id in ids) logits[id] = NEVER }
}

/** Never writes these tokens. */
internal fun suppressTokens(tokens: Collection<Int>): Processor {
    val ids = tokens.toIntArray()
    return Processor { _, logits -> for (id in ids) logits[id] = NEVER }
}

/** Does not begin the new text with these tokens. */
internal fun beginSuppressTokens(tokens: Collection<Int>, prompt: Int): Processor {
    val ids = tokens.toIntArray()
    return Processor { text, logits -> if (text.size == prompt) for (id in ids) logits[id] = NEVER }
}

/** Whether [text] ends in all but the last of [tokens]. */
private fun endsInBeginning(text: IntList, tokens: IntArray): Boolean {
    val last = tokens.size - 1
    for (index in 0 until last) if (text[text.size - last + index] != tokens[index]) return false
    return true
}
