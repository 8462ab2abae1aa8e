package dev.gpt2edge

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class UntrustedTest {
    @Test
    fun `what could steer a terminal or break a line is an escape`() {
        val cases =
            mapOf(
                "a\nb\r\tc" to "a\\nb\\r\\tc",
                "\u001b]0;x\u0007" to "\\x1b]0;x\\x07",
                "\u202eabc\u2028\u00a0" to "\\u202eabc\\u2028\\xa0",
                "\ud800x" to "\\ud800x",
                "\udb40\udc01" to "\\U000e0001",
                "модель ✓ 日本語 🙂" to "модель ✓ 日本語 🙂",
            )
        for ((text, expected) in cases) assertEquals(expected, printable(text))
    }

    @Test
    fun `a message is one line of at most 1,000 characters, with its beginning and its end`() {
        val texts = listOf("x".repeat(100_000), "\n".repeat(1000), "🙂".repeat(600), "a" + "🙂".repeat(600), "short")
        for (text in texts) {
            val message = PackageException("begin $text end", Problem.Closed).message!!
            assertTrue(message.length <= 1000, "${message.length}")
            assertTrue(message.startsWith("begin ") && message.endsWith(" end"), message)
            assertEquals(message, printable(message), "no half character")
        }
    }

    @Test
    fun `values are shown as what they are`() {
        assertEquals("'a\\nb'", shown("a\nb"))
        assertEquals("'${"x".repeat(80)}…'", shown("x".repeat(1_000_000)))
        assertEquals("12", shown(12L))
        assertEquals("null", shown(null))
        assertEquals("an object", shown(mapOf("a" to 1)))
        assertEquals("a list of 2", shown(listOf(1, 2)))
    }
}
