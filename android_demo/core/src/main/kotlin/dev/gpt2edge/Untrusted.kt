package dev.gpt2edge

/*
 * Text that is not our own goes through here before a person sees it, as in
 * runtime/gpt2_edge/untrusted.py: packages come from anywhere, and a message is one line.
 */

private const val MOST_SHOWN = 80
private const val LONGEST_LINE = 1000
private const val GAP = " … "

/** [value], which came out of a file or from a user, for a message: printable, and not too long. */
internal fun shown(value: Any?): String =
    when (value) {
        is String -> "'${printable(value.beginning(MOST_SHOWN))}${if (value.length > MOST_SHOWN) "…" else ""}'"
        is Map<*, *> -> "an object"
        is List<*> -> "a list of ${value.size}"
        else -> value.toString().run { if (length > MOST_SHOWN) take(MOST_SHOWN) + "…" else this }
    }

/** [text] with everything that could steer a terminal or break a line as an escape. */
internal fun printable(text: String): String {
    if (text.all { it in ' '..'~' }) return text
    val escaped = StringBuilder(text.length + 16)
    var index = 0
    while (index < text.length) {
        val point = text.codePointAt(index)
        when {
            point == ' '.code || isPrintable(point) -> escaped.appendCodePoint(point)
            point == '\n'.code -> escaped.append("\\n")
            point == '\r'.code -> escaped.append("\\r")
            point == '\t'.code -> escaped.append("\\t")
            point < 0x100 -> escaped.append("\\x").append(point.toString(16).padStart(2, '0'))
            point < 0x10000 -> escaped.append("\\u").append(point.toString(16).padStart(4, '0'))
            else -> escaped.append("\\U").append(point.toString(16).padStart(8, '0'))
        }
        index += Character.charCount(point)
    }
    return escaped.toString()
}

/** [text] as one printable line of at most 1,000 characters; of more, the beginning and the end. */
internal fun oneLine(text: String): String {
    val whole = if (text.length <= LONGEST_LINE) printable(text) else null
    if (whole != null && whole.length <= LONGEST_LINE) return whole
    val last = LONGEST_LINE / 3
    val first = LONGEST_LINE - last - GAP.length
    return printable(text.beginning(first)).beginning(first) + GAP + printable(text.end(last)).end(last)
}

private fun isPrintable(point: Int): Boolean =
    when (Character.getType(point).toByte()) {
        Character.CONTROL,
        Character.FORMAT,
        Character.SURROGATE,
        Character.PRIVATE_USE,
        Character.UNASSIGNED,
        Character.LINE_SEPARATOR,
        Character.PARAGRAPH_SEPARATOR,
        Character.SPACE_SEPARATOR -> false
        else -> true
    }

/** At most [count] characters, none of them half of one. */
private fun String.beginning(count: Int): String =
    if (length <= count) this else take(if (this[count - 1].isHighSurrogate()) count - 1 else count)

private fun String.end(count: Int): String =
    if (length <= count) this else takeLast(if (this[length - count].isLowSurrogate()) count - 1 else count)
