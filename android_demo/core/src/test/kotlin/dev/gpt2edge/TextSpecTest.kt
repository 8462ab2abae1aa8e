package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

/** spec/stopping.json and spec/detokenizing.json, which Python and the browser module run too. */
class TextSpecTest {
    @TempDir lateinit var temporary: File

    @TestFactory
    fun `stop strings`() =
        specCases("stopping", "cases") { case ->
            val strings = case["stop_strings"].list().map { it as String }
            val stops = StopStrings(strings, case["include_stop_str"] as Boolean)
            val shown = ArrayList<String>()
            for (piece in case["pieces"].list()) if (!stops.found) shown += stops.push(piece as String)
            assertEquals(case["shown"].list().take(shown.size), shown)
            assertEquals(case["found"], stops.found)
            if (!stops.found) assertEquals(case["pieces"].list().size, shown.size)
            assertEquals(case["rest"], stops.finish())
        }

    @TestFactory
    fun `tokens as text`() =
        specCases("detokenizing", "cases") { case ->
            val tokenizer = specTokenizer(TestData.spec("detokenizing"), temporary)
            val stream = tokenizer.detokenizer()
            val ids = case["ids"].ints()
            val pieces = ids.map { stream.push(it) }
            assertEquals(case["pieces"], pieces)
            assertEquals(case["rest"], stream.finish())
            assertEquals(pieces.joinToString("") + case["rest"], tokenizer.decode(ids))
        }
}
