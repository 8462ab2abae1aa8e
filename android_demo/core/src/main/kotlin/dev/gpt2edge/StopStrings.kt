package dev.gpt2edge

/**
 * Passes text on, but holds back an end that may become one of [strings]. include: the string that
 * ends the text is part of it.
 */
internal class StopStrings(private val strings: List<String>, private val include: Boolean = false) {
    private var held = ""

    /** Whether a stop string is complete. */
    var found = false
        private set

    /** What of the text so far may be shown. */
    fun push(piece: String): String {
        if (strings.isEmpty()) return piece
        val text = held + piece
        var start = Int.MAX_VALUE
        var length = 0
        for (string in strings) {
            val place = text.indexOf(string)
            if (place < 0 || place > start) continue
            // Of two that begin there, the shorter.
            length = if (place == start) minOf(length, string.length) else string.length
            start = place
        }
        if (start < Int.MAX_VALUE) {
            found = true
            held = ""
            return text.substring(0, if (include) start + length else start)
        }
        val keep = strings.maxOf { text.overlap(it) }
        held = text.substring(text.length - keep)
        return text.substring(0, text.length - keep)
    }

    /** The text still held back, which turned out to be no stop string. */
    fun finish(): String = held.also { held = "" }
}

/** Length of the longest end of this text that is a beginning of [string], and not all of it. */
internal fun String.overlap(string: String): Int {
    val longest = minOf(length, string.length - 1)
    return (longest downTo 1).firstOrNull { regionMatches(length - it, string, 0, it) } ?: 0
}
