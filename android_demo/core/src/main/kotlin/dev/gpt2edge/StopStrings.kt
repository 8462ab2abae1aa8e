package dev.gpt2edge

/** Passes text on, but holds back an end that may become one of [strings]. */
internal class StopStrings(private val strings: List<String>) {
    private var held = ""

    /** Whether a stop string is complete. */
    var found = false
        private set

    /** What of the text so far may be shown. */
    fun push(piece: String): String {
        if (strings.isEmpty()) return piece
        val text = held + piece
        val start = strings.map { text.indexOf(it) }.filter { it >= 0 }.minOrNull()
        if (start != null) {
            found = true
            held = ""
            return text.substring(0, start)
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
