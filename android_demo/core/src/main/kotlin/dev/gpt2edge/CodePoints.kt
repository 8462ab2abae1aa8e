package dev.gpt2edge

/** A set of Unicode code points, from ranges such as "41-5a aa" (hexadecimal). */
internal class CodePoints(text: String) {
    private val firsts: IntArray
    private val lasts: IntArray

    init {
        val ranges = text.split(' ')
        firsts = IntArray(ranges.size) { ranges[it].substringBefore('-').toInt(16) }
        lasts = IntArray(ranges.size) { ranges[it].substringAfter('-').toInt(16) }
    }

    operator fun contains(point: Int): Boolean {
        val index = firsts.binarySearch(point)
        if (index >= 0) return true
        val before = -index - 2 // the last range that begins before the point
        return before >= 0 && point <= lasts[before]
    }

    companion object {
        val LETTERS = CodePoints(UnicodeClasses.LETTERS)
        val NUMBERS = CodePoints(UnicodeClasses.NUMBERS)
        val WHITE_SPACE = CodePoints(UnicodeClasses.WHITE_SPACE)
        val WORD = CodePoints(UnicodeClasses.WORD)
    }
}

/** Text that UTF-8 can hold: a lone surrogate becomes `?`, as where Python replaces it. */
internal fun String.withoutLoneSurrogates(): String {
    if (none { it.isSurrogate() }) return this
    val clean = StringBuilder(length)
    var index = 0
    while (index < length) {
        val point = codePointAt(index)
        if (point in 0xD800..0xDFFF) clean.append('?') else clean.appendCodePoint(point)
        index += Character.charCount(point)
    }
    return clean.toString()
}
