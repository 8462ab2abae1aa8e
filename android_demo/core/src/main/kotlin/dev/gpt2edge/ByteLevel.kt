package dev.gpt2edge

/**
 * GPT-2's printable stand-ins for bytes (`bytes_to_unicode` of its release): a byte that is a
 * printable Latin-1 character stands for itself, the others are counted up from U+0100.
 */
internal object ByteLevel {
    private val characters = CharArray(256)
    private val bytes = IntArray(0x200) { -1 }

    init {
        var other = 0x100
        for (byte in 0..255) {
            val printable = byte in 0x21..0x7e || byte in 0xa1..0xac || byte in 0xae..0xff
            val character = if (printable) byte else other++
            characters[byte] = character.toChar()
            bytes[character] = byte
        }
    }

    fun character(byte: Byte): Char = characters[byte.toInt() and 0xff]

    /** The bytes of a token; one with characters that stand for no byte is its own UTF-8. */
    fun bytesOf(token: String): ByteArray {
        if (token.any { it.code >= bytes.size || bytes[it.code] < 0 }) {
            return token.toByteArray(Charsets.UTF_8)
        }
        return ByteArray(token.length) { bytes[token[it].code].toByte() }
    }

    /** The stand-ins of the UTF-8 of `text[from, to)`. */
    fun standIns(text: String, from: Int, to: Int): String {
        val utf8 = text.substring(from, to).toByteArray(Charsets.UTF_8)
        return String(CharArray(utf8.size) { character(utf8[it]) })
    }
}
