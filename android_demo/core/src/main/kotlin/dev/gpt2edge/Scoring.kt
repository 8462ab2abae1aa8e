package dev.gpt2edge

// Positions whose logits exist at one time: 13 MB with GPT-2's vocabulary, which are in the Java heap. No
// more than 128, as ONNX Runtime's kernels split rows into tiles of 128 and none may be alone in one.
internal const val SCORED_ROWS = 64

private const val REPLACEMENT = '\uFFFD' // what a part of a character is decoded to

/**
 * How likely texts are, as runtime/gpt2_edge/measure/score.py defines it: log-probabilities are natural
 * logarithms of the softmax over the whole vocabulary, and do not depend on how much is asked for.
 */
internal class Scoring(private val generator: Generator, private val session: Session) {
    private val contextLength = session.modelPackage.manifest.architecture.contextLength
    private val logprobs = Logprobs(0)

    fun tokens(ids: IntArray, bos: Boolean): List<ScoredToken> {
        val given = generator.inVocabulary(ids)
        val checked = fitting(if (bos) begun(given) else given)
        val scored = ArrayList<ScoredToken>(checked.size)
        if (checked.size == given.size) scored.add(ScoredToken(checked[0], generator.tokenLabel(checked[0]), null, null))
        session.start(checked.size - 1).use { sequence ->
            predict(sequence, checked, 1) { id, logits ->
                scored.add(ScoredToken(id, generator.tokenLabel(id), logprobs.of(logits, id), rank(logits, id)))
            }
        }
        return scored
    }

    fun continuation(context: IntArray, continuation: IntArray): Continuation {
        val wanted = generator.inVocabulary(continuation)
        if (wanted.isEmpty()) {
            throw GenerationException("the continuation is empty; give at least one token to score", Problem.TooShort(0))
        }
        if (wanted.size > contextLength) {
            throw ContextOverflowException(
                "the continuation has ${wanted.size} tokens; the model's context holds $contextLength: shorten it",
                Problem.PromptTooLong(wanted.size, contextLength),
            )
        }
        // As in lm-evaluation-harness: the beginning of what does not fit is dropped.
        val before = generator.inVocabulary(context).let { if (it.isEmpty()) intArrayOf(bosToken()) else it }
        val fits = before.takeLast(contextLength + 1 - wanted.size).toIntArray()
        val found = ArrayList<Double>(wanted.size)
        var greedy = true
        session.start(fits.size + wanted.size - 1).use { sequence ->
            predict(sequence, fits + wanted, fits.size) { id, logits ->
                found.add(logprobs.of(logits, id))
                greedy = greedy && greedy(logits) == id
            }
        }
        return Continuation(found.sum(), greedy, found)
    }

    fun perplexity(text: String, window: Int?, stride: Int?, bos: Boolean): Perplexity {
        val tokenizer = generator.requireTokenizer()
        val ids = tokenizer.encode(text, addSpecialTokens = false)
        var bytes = text.toByteArray(Charsets.UTF_8).size
        if (ids.isNotEmpty() && !(bos && begun(ids).size > ids.size)) {
            // What is not predicted does not count, unless it is part of a character: then all does.
            val label = tokenizer.label(ids[0])
            if (text.startsWith(label) && REPLACEMENT !in label) bytes -= label.toByteArray(Charsets.UTF_8).size
        }
        return perplexity(ids, window, stride, bos, bytes)
    }

    fun perplexity(ids: IntArray, window: Int?, stride: Int?, bos: Boolean, textBytes: Int? = null): Perplexity {
        val width = window ?: contextLength
        requireRange("window", width, 2..contextLength, "the model's context")
        val step = stride ?: width / 2
        requireRange("stride", step, 1..width, "the window")
        val text = generator.inVocabulary(ids).let { if (bos) begun(it) else it }
        if (text.size < 2) throw tooShort(text.size)
        val found = ArrayList<Double>(text.size)
        session.start(width - 1).use { sequence ->
            var seen = 0
            for (begin in text.indices step step) {
                val end = minOf(begin + width, text.size)
                val first = maxOf(seen, begin + 1)
                if (first < end) {
                    predict(sequence, text.copyOfRange(begin, end), first - begin) { id, logits ->
                        found.add(logprobs.of(logits, id))
                    }
                }
                if (end == text.size) break
                seen = end
            }
        }
        val loss = -found.sum()
        val mean = loss / found.size
        val variance = found.sumOf { (it + mean) * (it + mean) } / (found.size - 1) // NaN for a single one
        val error = Math.exp(mean) * Math.sqrt(variance) / Math.sqrt(found.size.toDouble())
        return Perplexity(found.size, loss, error, width, step, textBytes.takeIf { found.size == text.size - 1 })
    }

    /**
     * Hands over each of `ids[start..]` with the logits that predict it, valid until the next one.
     *
     * The logits are the same to the bit whatever [start] is: a chunk starts at a multiple of
     * TOKEN_GROUP and is no lone row behind others.
     */
    private fun predict(sequence: TokenSequence, ids: IntArray, start: Int, use: (Int, FloatArray) -> Unit) {
        val fed = ids.copyOf(ids.size - 1)
        val first = start - 1
        sequence.trim(groupStart(minOf(commonPrefix(sequence.ids(), fed), first), fed.size))
        while (sequence.length < fed.size) {
            val begin = sequence.length
            var end = minOf(begin + SCORED_ROWS, fed.size)
            if (fed.size - end == 1) end -= TOKEN_GROUP // which would be alone in the next chunk
            sequence.feed(fed.copyOfRange(begin, end), everyPosition = first < end)
            for (position in maxOf(first, begin) until end) {
                sequence.readLogits(position - begin)
                if (!areNumbers(sequence.logits)) throw sequence.notNumbers()
                logprobs.read(sequence.logits)
                use(ids[position + 1], sequence.logits)
            }
        }
    }

    /** The last multiple of TOKEN_GROUP up to [position] that is no lone row before [end]. */
    private fun groupStart(position: Int, end: Int): Int {
        val start = position - position % TOKEN_GROUP
        return if (end - start == 1) maxOf(0, start - TOKEN_GROUP) else start
    }

    /** 1 for the most likely token; among equals the lower id comes first. */
    private fun rank(logits: FloatArray, id: Int): Int =
        1 + logits.indices.count { logits[it] > logits[id] || logits[it] == logits[id] && it < id }

    /** What comes before a text: the package's bos token, else its first eos token. */
    private fun bosToken(): Int {
        val manifest = session.modelPackage.manifest
        return manifest.bosTokenId
            ?: manifest.eosTokenIds.firstOrNull()
            ?: throw GenerationException(
                "${session.modelPackage.folder} has no bos or eos token to begin with; give a context",
                Problem.NoBeginning,
            )
    }

    /** [ids] behind the bos token, which is not doubled. */
    private fun begun(ids: IntArray): IntArray {
        val bos = bosToken()
        return if (ids.firstOrNull() == bos) ids else intArrayOf(bos) + ids
    }

    private fun fitting(ids: IntArray): IntArray {
        if (ids.size < 2) throw tooShort(ids.size)
        if (ids.size > contextLength + 1) {
            throw ContextOverflowException(
                "the text has ${ids.size} tokens; a context of $contextLength scores ${contextLength + 1} at once: " +
                    "shorten it, or take its perplexity in windows",
                Problem.PromptTooLong(ids.size, contextLength + 1),
            )
        }
        return ids
    }

    private fun tooShort(tokens: Int) =
        GenerationException(
            "scoring needs two tokens or more, there are $tokens: the first is only predicted behind a bos token",
            Problem.TooShort(tokens),
        )

    private fun requireRange(name: String, value: Int, range: IntRange, of: String) {
        if (value in range) return
        throw GenerationException(
            "$name is $value; it must be from ${range.first} to $of of ${range.last}",
            Problem.OutOfRange(name, "$value"),
        )
    }
}
