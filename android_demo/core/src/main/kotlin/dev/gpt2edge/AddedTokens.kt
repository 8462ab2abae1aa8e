package dev.gpt2edge

/** One of tokenizer.json's added tokens; the flags are Hugging Face's. */
internal class AddedToken(
    val id: Int,
    val content: String,
    val special: Boolean,
    val lstrip: Boolean,
    val rstrip: Boolean,
    val singleWord: Boolean,
    val normalized: Boolean,
)

/**
 * Finds added tokens in text before it is taken apart: first those that are not normalized, then,
 * in what is left, the others. The leftmost match counts, and of several the longest.
 */
internal class AddedTokens(tokens: List<AddedToken>) {
    private val passes =
        listOf(tokens.filter { !it.normalized }, tokens.filter { it.normalized })
            .filter { it.isNotEmpty() }
            .map { Pass(it) }

    /**
     * Calls [text] for what is no added token and [token] for what is one, in order.
     *
     * parseSpecial: false where special tokens count as text.
     */
    fun split(whole: String, parseSpecial: Boolean, text: (String) -> Unit, token: (Int) -> Unit) {
        fun split(part: String, pass: Int) {
            if (part.isEmpty()) return
            if (pass == passes.size) return text(part)
            passes[pass].split(part, parseSpecial, { split(it, pass + 1) }, token)
        }
        split(whole, 0)
    }

    private class Pass(tokens: List<AddedToken>) {
        // By first character, longest first: a text is searched once, whatever the tokens' number.
        private val byFirst: Map<Char, List<AddedToken>> =
            tokens.sortedByDescending { it.content.length }.groupBy { it.content[0] }

        fun split(part: String, parseSpecial: Boolean, text: (String) -> Unit, token: (Int) -> Unit) {
            var done = 0 // everything before was handed on
            var index = 0
            while (index < part.length) {
                val found = byFirst[part[index]]?.firstOrNull { part.startsWith(it.content, index) }
                if (found == null) {
                    index++
                    continue
                }
                val after = index + found.content.length
                val counts = parseSpecial || !found.special
                if (counts && (!found.singleWord || standsAlone(part, index, after))) {
                    var from = index
                    var to = after
                    if (found.lstrip) from = maxOf(done, spaceBefore(part, index))
                    if (found.rstrip) to = spaceAfter(part, after)
                    if (from > done) text(part.substring(done, from))
                    token(found.id)
                    done = to
                }
                // The search goes on behind the token itself, even where it swallowed more.
                index = after
            }
            if (done < part.length) text(part.substring(done))
        }

        private fun standsAlone(part: String, from: Int, to: Int): Boolean {
            val wordBefore = from > 0 && part.codePointBefore(from) in CodePoints.WORD
            val wordAfter = to < part.length && part.codePointAt(to) in CodePoints.WORD
            return !wordBefore && !wordAfter
        }

        private fun spaceBefore(part: String, index: Int): Int {
            var from = index
            while (from > 0 && part[from - 1].code in CodePoints.WHITE_SPACE) from--
            return from
        }

        private fun spaceAfter(part: String, index: Int): Int {
            var to = index
            while (to < part.length && part[to].code in CodePoints.WHITE_SPACE) to++
            return to
        }
    }
}
