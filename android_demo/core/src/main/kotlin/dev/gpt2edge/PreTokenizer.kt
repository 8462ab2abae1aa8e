package dev.gpt2edge

/**
 * Cuts text as GPT-2's pattern does, without a regular expression engine, because Android's and the
 * JDK's disagree on its classes:
 * `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
 */
internal object PreTokenizer {
    private enum class Kind { LETTER, NUMBER, SPACE, OTHER }

    // Most of most texts; the tables are searched for the rest.
    private val ascii = Array(128) { classify(it) }

    /** Calls [piece] with where each piece of [text] begins and ends. */
    inline fun split(text: String, piece: (from: Int, to: Int) -> Unit) {
        var from = 0
        while (from < text.length) {
            val to = endOfPiece(text, from)
            piece(from, to)
            from = to
        }
    }

    fun endOfPiece(text: String, from: Int): Int {
        contraction(text, from)?.let { return it }
        val first = kindAt(text, from)
        if (first != Kind.SPACE) return endOfRun(text, from, first)
        // One plain space joins the run behind it.
        if (text[from] == ' ' && from + 1 < text.length) {
            val second = kindAt(text, from + 1)
            if (second != Kind.SPACE) return endOfRun(text, from + 1, second)
        }
        val end = endOfRun(text, from, Kind.SPACE)
        if (end == text.length) return end
        // The last white space of several is left to what follows. All white space is one char.
        return if (end - from > 1) end - 1 else end
    }

    private fun contraction(text: String, from: Int): Int? {
        if (text[from] != '\'' || from + 1 >= text.length) return null
        when (text[from + 1]) {
            's', 't', 'm', 'd' -> return from + 2
            'r', 'v' -> if (from + 2 < text.length && text[from + 2] == 'e') return from + 3
            'l' -> if (from + 2 < text.length && text[from + 2] == 'l') return from + 3
        }
        return null
    }

    private fun endOfRun(text: String, from: Int, kind: Kind): Int {
        var index = from
        while (index < text.length && kindAt(text, index) == kind) {
            index += Character.charCount(text.codePointAt(index))
        }
        return index
    }

    private fun kindAt(text: String, index: Int): Kind {
        val point = text.codePointAt(index)
        return if (point < 128) ascii[point] else classify(point)
    }

    private fun classify(point: Int): Kind =
        when (point) {
            in CodePoints.LETTERS -> Kind.LETTER
            in CodePoints.NUMBERS -> Kind.NUMBER
            in CodePoints.WHITE_SPACE -> Kind.SPACE
            else -> Kind.OTHER
        }
}
