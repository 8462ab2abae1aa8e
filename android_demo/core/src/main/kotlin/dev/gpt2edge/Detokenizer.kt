package dev.gpt2edge

/**
 * Turns token ids into text one at a time: [push] returns what became certain, never half a
 * character, [finish] the rest. Special tokens, and ids that the tokenizer does not know, are no
 * text.
 */
class Detokenizer
internal constructor(replacements: List<Replacement>, private val bytesOf: (Int) -> ByteArray?) {
    private val decoder = Utf8Decoder()
    private val replacements = replacements.map { Replacing(it) }

    fun push(id: Int): String {
        val text = decoder.push(bytesOf(id) ?: return "")
        return replacements.fold(text) { piece, replacing -> replacing.push(piece) }
    }

    /** The rest runs through the replacements that are behind it, each of which then gives its own. */
    fun finish(): String =
        replacements.fold(decoder.finish()) { piece, replacing -> replacing.push(piece) + replacing.finish() }
}

/** What a decoder puts in the place of a text: "." for " .", say. */
internal class Replacement(val from: String, val to: String)

/** Replaces in text that comes in pieces; holds back an end that may become what is replaced. */
private class Replacing(private val replacement: Replacement) {
    private var held = ""

    fun push(piece: String): String {
        val text = held + piece
        val shown = StringBuilder()
        var done = 0
        while (true) {
            val found = text.indexOf(replacement.from, done)
            if (found < 0) break
            shown.append(text, done, found).append(replacement.to)
            done = found + replacement.from.length
        }
        val rest = text.substring(done)
        val keep = rest.overlap(replacement.from)
        held = rest.substring(rest.length - keep)
        return shown.append(rest, 0, rest.length - keep).toString()
    }

    fun finish(): String = held.also { held = "" }
}

/**
 * UTF-8 in pieces. What is no UTF-8 becomes U+FFFD, one for each longest beginning of a character
 * (Unicode 3.9, "substitution of maximal subparts"), as in Python; Android's own decoder counts
 * otherwise than the JDK's.
 */
internal class Utf8Decoder {
    private val text = StringBuilder()
    private var point = 0
    private var missing = 0 // bytes that the character begun still lacks
    private var lowest = 0x80 // what the next of them may be
    private var highest = 0xbf

    fun push(bytes: ByteArray): String {
        text.setLength(0)
        for (byte in bytes) push(byte.toInt() and 0xff)
        return text.toString()
    }

    fun finish(): String {
        text.setLength(0)
        if (missing > 0) text.append(REPLACEMENT)
        missing = 0
        return text.toString()
    }

    private fun push(byte: Int) {
        if (missing > 0) {
            if (byte in lowest..highest) {
                point = point shl 6 or (byte and 0x3f)
                lowest = 0x80
                highest = 0xbf
                if (--missing == 0) text.appendCodePoint(point)
                return
            }
            text.append(REPLACEMENT)
            missing = 0
        }
        lowest = 0x80
        highest = 0xbf
        when (byte) {
            in 0x00..0x7f -> text.append(byte.toChar())
            in 0xc2..0xdf -> begin(byte and 0x1f, 1)
            in 0xe0..0xef -> {
                begin(byte and 0x0f, 2)
                if (byte == 0xe0) lowest = 0xa0 // else it would be too long
                if (byte == 0xed) highest = 0x9f // else it would be a surrogate
            }
            in 0xf0..0xf4 -> {
                begin(byte and 0x07, 3)
                if (byte == 0xf0) lowest = 0x90
                if (byte == 0xf4) highest = 0x8f // else it would be past U+10FFFF
            }
            else -> text.append(REPLACEMENT)
        }
    }

    private fun begin(bits: Int, more: Int) {
        point = bits
        missing = more
    }

    private companion object {
        const val REPLACEMENT = '\ufffd'
    }
}
