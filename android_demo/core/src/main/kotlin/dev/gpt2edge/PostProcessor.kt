package dev.gpt2edge

/**
 * Reads tokenizer.json's post_processor: the tokens that it puts around a text. [unsupported] raises
 * the error for a kind that does anything else.
 */
internal class PostProcessor(private val unsupported: (String) -> Nothing) {
    fun read(value: Any?): SpecialTokens {
        if (value == null) return NOTHING
        val part = value as? Map<*, *> ?: throw JsonException("post_processor is no object")
        return when (val type = part["type"]) {
            "ByteLevel" -> NOTHING // it only moves offsets
            "TemplateProcessing" -> template(part)
            "RobertaProcessing", "BertProcessing" ->
                SpecialTokens(listOf(ofPair(part, "cls")), listOf(ofPair(part, "sep")))
            "Sequence" -> sequence(part)
            else -> unsupported("the post_processor ${shown(type)}")
        }
    }

    /** Each puts its tokens around what the one before it made. */
    private fun sequence(part: Map<*, *>): SpecialTokens {
        val processors = part["processors"] as? List<*> ?: throw JsonException("a Sequence has no processors")
        return processors.map { read(it) }.fold(NOTHING) { inner, outer ->
            SpecialTokens(outer.before + inner.before, inner.after + outer.after)
        }
    }

    private fun template(part: Map<*, *>): SpecialTokens {
        val pieces = part["single"] as? List<*> ?: throw JsonException("a template has no single")
        val known = part["special_tokens"] as? Map<*, *>
        val before = ArrayList<Int>()
        val after = ArrayList<Int>()
        var texts = 0
        for (piece in pieces) {
            val kinds = piece as? Map<*, *> ?: throw JsonException("a template's piece is no object")
            val special = kinds["SpecialToken"] as? Map<*, *>
            when {
                special != null -> (if (texts == 0) before else after).addAll(ids(known, special["id"]))
                (kinds["Sequence"] as? Map<*, *>)?.get("id") == "A" -> texts++
                else -> throw JsonException("a template has a piece that is neither a token nor the text")
            }
        }
        if (texts != 1) unsupported("a template with the text $texts times")
        return SpecialTokens(before, after)
    }

    private fun ids(known: Map<*, *>?, name: Any?): List<Int> {
        val ids = (known?.get(name) as? Map<*, *>)?.get("ids") as? List<*>
        return ids?.map { id(it) } ?: throw JsonException("the template's token ${shown(name)} has no ids")
    }

    private fun ofPair(part: Map<*, *>, name: String): Int {
        val pair = part[name] as? List<*>
        return id(pair?.getOrNull(1))
    }

    private fun id(value: Any?): Int {
        if (value !is Long || value !in 0..Int.MAX_VALUE) {
            throw JsonException("a token that it puts around texts has the id ${shown(value)}")
        }
        return value.toInt()
    }

    private companion object {
        val NOTHING = SpecialTokens(emptyList(), emptyList())
    }
}
