package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class UnicodeTest {
    private val library = TestData.json(File(TestData.folder, "unicode.json"))

    @Test
    fun `tables are those of the tokenizers library`() {
        val advice = "the library changed: run src/test/python/make_unicode_classes.py"
        assertEquals(library["LETTERS"], UnicodeClasses.LETTERS, advice)
        assertEquals(library["NUMBERS"], UnicodeClasses.NUMBERS, advice)
        assertEquals(library["WHITE_SPACE"], UnicodeClasses.WHITE_SPACE, advice)
        assertEquals(library["WORD"], UnicodeClasses.WORD, advice)
    }

    @Test
    fun `a code point is found exactly where a range has it`() {
        for (name in listOf("LETTERS", "NUMBERS", "WHITE_SPACE", "WORD")) {
            val expected = BooleanArray(0x110000)
            for (range in (library[name] as String).split(' ')) {
                val ends = range.split('-').map { it.toInt(16) }
                for (point in ends.first()..ends.last()) expected[point] = true
            }
            val points = CodePoints(library[name] as String)
            val wrong = expected.indices.filter { (it in points) != expected[it] }
            assertEquals(emptyList<Int>(), wrong, name)
        }
    }

    @Test
    fun `white space is one char each, as the pre-tokenizer assumes`() {
        val last = UnicodeClasses.WHITE_SPACE.split(' ', '-').maxOf { it.toInt(16) }
        assertEquals(true, last < 0x10000)
    }
}
