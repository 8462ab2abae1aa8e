package dev.gpt2edge

import java.io.Reader
import java.math.BigInteger

internal class JsonException(message: String) : Exception(message)

/**
 * Reads JSON from front to back. Large objects (a vocabulary) are handed on member by member and
 * never held as a tree; [readValue] builds one for the small rest.
 *
 * Depth, the digits of a number and the values of trees are bounded, and no object may have a key
 * twice: whatever is wrong with the text is one JsonException.
 */
internal class JsonReader(private val reader: Reader) {
    private val buffer = CharArray(8192)
    private var next = 0
    private var end = 0
    private var consumed = 0L
    private var depth = 0
    private var valuesLeft = 0
    private val text = StringBuilder()

    /** The first character of the next value: `{`, `[`, `"`, or of a number or a word. */
    fun kind(): Char {
        skipSpace()
        val character = peek()
        if (character < 0) fail("it ends where a value should stand")
        return character.toChar()
    }

    /**
     * Calls [member] for every member of the object that comes next; it has to read the value.
     *
     * remembered: false for a large object whose keys [member] keeps anyway, and compares itself.
     */
    fun readObject(remembered: Boolean = true, member: (String) -> Unit) {
        expect('{', "an object")
        enter()
        val names = if (remembered) HashSet<String>() else null
        if (!takes('}')) {
            do {
                skipSpace()
                val name = readString()
                if (names?.add(name) == false) twice(name)
                expect(':', "a colon")
                member(name)
            } while (takes(','))
            expect('}', "a comma or the end of an object")
        }
        depth--
    }

    /** Calls [element] for every element of the array that comes next; it has to read the value. */
    fun readArray(element: () -> Unit) {
        expect('[', "an array")
        enter()
        if (!takes(']')) {
            do element() while (takes(','))
            expect(']', "a comma or the end of an array")
        }
        depth--
    }

    fun readString(): String {
        expect('"', "a string")
        text.setLength(0)
        while (true) {
            val character = take()
            when {
                character == '"'.code -> return text.toString()
                character == '\\'.code -> text.append(escaped())
                character < 0x20 -> fail("a string holds a control character or does not end")
                else -> text.append(character.toChar())
            }
        }
    }

    fun twice(name: String): Nothing = fail("an object has the key ${shown(name)} twice")

    /**
     * The next value as a Map, a List, a String, a Long or BigInteger, a Double, a Boolean or null: a
     * tree of at most [most] of them.
     */
    fun readValue(most: Int = MOST_VALUES): Any? {
        valuesLeft = most
        return counted()
    }

    private fun readMap(): Map<String, Any?> {
        val map = LinkedHashMap<String, Any?>()
        readObject(remembered = false) { name ->
            if (name in map) twice(name)
            map[name] = counted()
        }
        return map
    }

    private fun counted(): Any? {
        if (--valuesLeft < 0) fail("it has too many values")
        return when (kind()) {
            '{' -> readMap()
            '[' -> ArrayList<Any?>().also { list -> readArray { list.add(counted()) } }
            '"' -> readString()
            else -> word(bareWord())
        }
    }

    /** Passes over the next value. */
    fun skipValue() {
        when (kind()) {
            '{' -> readObject { skipValue() }
            '[' -> readArray { skipValue() }
            '"' -> readString()
            else -> word(bareWord())
        }
    }

    /** Makes sure that nothing stands behind the value. */
    fun finish() {
        skipSpace()
        if (peek() >= 0) fail("there is more behind its end")
    }

    private fun word(word: String): Any? =
        when (word) {
            "true" -> true
            "false" -> false
            "null" -> null
            "NaN" -> Double.NaN // Python writes these three
            "Infinity" -> Double.POSITIVE_INFINITY
            "-Infinity" -> Double.NEGATIVE_INFINITY
            else -> if (NUMBER.matches(word)) number(word) else fail("${shown(word)} is no value")
        }

    private fun number(word: String): Number {
        if (word.any { it != '-' && it !in '0'..'9' }) return word.toDouble()
        return word.toLongOrNull() ?: BigInteger(word)
    }

    private fun bareWord(): String {
        text.setLength(0)
        while (true) {
            val character = peek()
            if (character < 0 || character.toChar() in WORD_ENDS) return text.toString()
            if (text.length == LONGEST_WORD) fail("it has a number with too many digits")
            text.append(take().toChar())
        }
    }

    private fun escaped(): Char {
        val character = take().toChar()
        return when (character) {
            '"', '\\', '/' -> character
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                var code = 0
                repeat(4) {
                    val digit = HEXADECIMAL.indexOf(take().toChar().lowercaseChar())
                    if (digit < 0) fail("\\u is not followed by four hexadecimal digits")
                    code = code * 16 + digit
                }
                code.toChar()
            }
            else -> fail("a string holds the unknown escape ${shown("\\$character")}")
        }
    }

    private fun expect(character: Char, what: String) {
        skipSpace()
        if (peek() != character.code) fail("$what is missing")
        next++
    }

    private fun takes(character: Char): Boolean {
        skipSpace()
        if (peek() != character.code) return false
        next++
        return true
    }

    private fun enter() {
        if (++depth > DEEPEST) fail("it is nested deeper than $DEEPEST")
    }

    private fun skipSpace() {
        while (true) {
            val character = peek()
            if (character != 0x20 && character != 0x0a && character != 0x0d && character != 0x09) return
            next++
        }
    }

    private fun take(): Int {
        val character = peek()
        if (character >= 0) next++
        return character
    }

    private fun peek(): Int {
        if (next == end) {
            consumed += end
            next = 0
            end = reader.read(buffer).coerceAtLeast(0)
            if (end == 0) return -1
        }
        return buffer[next].code
    }

    private fun fail(problem: String): Nothing =
        throw JsonException("$problem, at character ${consumed + next + 1}")

    private companion object {
        const val DEEPEST = 100 // a thread's stack is small on Android
        const val LONGEST_WORD = 4300 // as Python bounds the digits of a number
        const val MOST_VALUES = 200_000
        const val HEXADECIMAL = "0123456789abcdef"
        const val WORD_ENDS = " \n\r\t,:]}[{\""
        val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
    }
}
