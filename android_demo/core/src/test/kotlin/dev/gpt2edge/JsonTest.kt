package dev.gpt2edge

import java.io.StringReader
import java.math.BigInteger
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class JsonTest {
    private fun read(text: String): Any? =
        JsonReader(StringReader(text)).run { readValue().also { finish() } }

    @Test
    fun `values of every kind`() {
        val text = """ {"a": [1, -2.5e1, true, false, null, "x"], "b": {}, "c": [], "d": 9007199254740993} """
        val expected =
            mapOf(
                "a" to listOf(1L, -25.0, true, false, null, "x"),
                "b" to emptyMap<String, Any>(),
                "c" to emptyList<Any>(),
                "d" to 9007199254740993L,
            )
        assertEquals(expected, read(text))
    }

    @Test
    fun `escapes and characters outside the first plane`() {
        val text = """"\" \\ \/ \b \f \n \r \t \u00e9 \ud83d\ude42 🙂""""
        assertEquals("\" \\ / \b \u000c \n \r \t é 🙂 🙂", read(text))
    }

    @Test
    fun `a value longer than the buffer`() {
        val long = "x".repeat(100_000)
        assertEquals(listOf(long, long), read("[\"$long\",\"$long\"]"))
    }

    @Test
    fun `what is no JSON says where`() {
        val texts =
            listOf(
                "", " ", "{", "[1,", "[1 2]", "{\"a\" 1}", "{a: 1}", "\"abc", "\"\\x\"", "\"\\u12g4\"",
                "01", "1.", "+1", ".5", "nul", "tru", "[1],", "\"a\nb\"", "'a'", "[" + "1".repeat(4400) + "]", "\"\\u١٢٣٤\"",
                "[".repeat(500), "{\"a\":}",
            )
        for (text in texts) {
            val error = assertThrows(JsonException::class.java, { read(text) }, text)
            assertContains(error.message!!, "at character ")
        }
    }

    @Test
    fun `numbers of any size that has an end`() {
        assertEquals(listOf(BigInteger.TEN.pow(30), 1e30), read("[1${"0".repeat(30)}, 1e30]"))
        assertEquals(Double.POSITIVE_INFINITY, read("1e999"))
    }

    @Test
    fun `a key that stands twice`() {
        for (text in listOf("{\"a\": 1, \"b\": 2, \"a\": 3}", "[{\"x\": {\"a\": 1, \"\\u0061\": 1}}]")) {
            assertContains(assertThrows(JsonException::class.java) { read(text) }.message!!, "the key 'a' twice")
            val skipping = JsonReader(StringReader(text))
            assertThrows(JsonException::class.java) { skipping.skipValue() }
        }
    }

    @Test
    fun `more values than anything has`() {
        val many = "[" + "1,".repeat(200_001) + "1]"
        assertContains(assertThrows(JsonException::class.java) { read(many) }.message!!, "too many values")
    }

    @Test
    fun `what is quoted is short and printable`() {
        for (text in listOf("x".repeat(4000), "\u001b[2J", "\"\\\u001b")) {
            val message = assertThrows(JsonException::class.java) { read(text) }.message!!
            assertEquals(message, oneLine(message))
            assertTrue(message.length < 200, message)
        }
    }
}
