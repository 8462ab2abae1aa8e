package dev.gpt2edge.demo

import android.text.Editable
import android.text.TextWatcher
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith

/** Writing with the bundled package. */
@RunWith(DemoRunner::class)
class WritingTest {
    @Test
    fun `the first start loads the bundled package and shows the likeliest next words`() {
        val screen = Screen().untilReady().untilOptions()
        assertEquals(listOf("sample-int4"), screen.packages)
        assertEquals("It was", screen.text)
        assertEquals(8, screen.options.size)
        val percentages = screen.options.map { Regex("([0-9.]+)%$").find(it.text)!!.groupValues[1].toDouble() }
        assertEquals(percentages.sortedDescending(), percentages)
        assertTrue("$percentages", percentages.first() > 1 && percentages.sum() <= 100.5)
    }

    @Test
    fun `greedy text is the Python runtime's`() {
        val expected = System.getProperty("gpt2edge.expectedText")
        assumeTrue("test-app.sh computes it", expected != null)
        val screen = Screen().untilReady()
        screen.settings(length = "60")
        screen.write()
        assertEquals(File(expected!!).readText(), screen.text)
    }

    @Test
    fun `text streams, and Stop stops it`() {
        val screen = Screen().untilReady()
        screen.settings(length = "480")
        val lengths = ArrayList<Int>()
        screen.field(R.id.text).addTextChangedListener(
            object : TextWatcher {
                override fun beforeTextChanged(s: CharSequence, start: Int, count: Int, after: Int) = Unit

                override fun onTextChanged(s: CharSequence, start: Int, before: Int, count: Int) = Unit

                override fun afterTextChanged(s: Editable) {
                    lengths.add(s.length)
                    if (lengths.size == 2) screen.press(R.id.stop)
                }
            }
        )
        screen.write()
        assertTrue("grew in pieces: $lengths", lengths.size >= 2 && lengths == lengths.sorted())
        assertEquals("Stopped.", screen.message)
        val tokens = Regex("([0-9]+) tokens ").find(screen.statistics)!!.groupValues[1].toInt()
        assertTrue("${screen.statistics}", tokens in 2..479)
        assertTrue(screen.text.startsWith("It was "))
        assertFalse(screen.isEnabled(R.id.stop))
    }

    @Test
    fun `statistics say speed, first token, tokens and memory`() {
        val screen = Screen().untilReady()
        screen.settings(length = "20")
        screen.write()
        val figures = Regex("[0-9]+([.,][0-9]+)?").findAll(screen.statistics).map { it.value.replace(',', '.').toDouble() }.toList()
        assertEquals(screen.statistics, 4, figures.size)
        assertTrue(screen.statistics, figures[0] > 0 && figures[2] == 20.0 && figures[3] > 5)
    }

    @Test
    fun `Undo takes back writing, a chosen word and typing, step by step`() {
        val screen = Screen().untilReady().untilOptions()
        assertFalse(screen.isEnabled(R.id.undo))
        val option = screen.options.first { it.isEnabled }
        option.performClick()
        val chosen = screen.text
        assertTrue(chosen.length > "It was".length && chosen.startsWith("It was"))
        screen.untilOptions().settings(length = "5")
        screen.write()
        val written = screen.text
        assertTrue(written.startsWith(chosen) && written.length > chosen.length)
        screen.type(R.id.text, "$written and")
        screen.type(R.id.text, "$written and so")
        for (expected in listOf(written, chosen, "It was")) {
            screen.press(R.id.undo)
            assertEquals(expected, screen.text)
        }
        assertFalse(screen.isEnabled(R.id.undo))
    }

    @Test
    fun `the same seed writes the same text`() {
        val screen = Screen().untilReady()
        fun written(seed: String): String {
            screen.settings(temperature = "1.2", topK = "50", seed = seed, length = "25")
            screen.write()
            return screen.text.also { screen.press(R.id.undo) }
        }
        val first = written("7")
        assertEquals(first, written("7"))
        assertNotEquals(first, written("8"))
    }

    @Test
    fun `a repetition penalty keeps a text from repeating itself`() {
        val screen = Screen().untilReady()
        fun repeated(penalty: String): Int {
            screen.settings(length = "80", repetitionPenalty = penalty)
            screen.write()
            val words = screen.text.split(" ").also { screen.press(R.id.undo) }
            return words.size - words.toSet().size
        }
        val without = repeated("")
        assertEquals(without, repeated("1"))
        assertTrue("${repeated("1.8")} of $without", repeated("1.8") < without / 2)
    }

    @Test
    fun `a time limit of the package is told`() {
        val screen = Screen().untilReady()
        val folder = Packages.copy(File(Screen.ownPackages(screen), "sample-int4"), File(Screen.pushedPackages(screen), "short"))
        Packages.generationConfig(folder, """{"max_time": 0.000001}""")
        screen.controller.pause().resume()
        screen.choose("short (adb)")
        screen.untilReady()
        screen.write()
        assertTrue(screen.message, "time limit" in screen.message)
    }

    @Test
    fun `a package's own settings stand on the screen where the user has changed none`() {
        val screen = Screen().untilReady()
        val fields = listOf(R.id.temperature, R.id.top_k, R.id.length, R.id.repetition_penalty)
        fun shown() = fields.map { screen.field(it).text.toString() }
        assertEquals(listOf("0.8", "40", "128", ""), shown())
        Packages.copy(File(Screen.ownPackages(screen), "sample-int4"), File(Screen.pushedPackages(screen), "own")).let {
            val settings = """"temperature": 0.5, "top_k": 0, "max_new_tokens": 9, "repetition_penalty": 1.3"""
            Packages.generationConfig(it, """{"do_sample": true, $settings}""")
        }
        screen.controller.pause().resume()
        screen.choose("own (adb)")
        screen.untilReady()
        assertEquals(listOf("0.5", "", "9", "1.3"), shown())
        screen.write()
        assertTrue(screen.statistics, " 9 tokens" in screen.statistics)
        screen.type(R.id.length, "7")
        screen.choose("sample-int4")
        screen.untilReady()
        assertEquals(listOf("0.8", "40", "7", ""), shown())
        val again = Screen(screen.die()).untilReady()
        assertEquals("7", again.field(R.id.length).text.toString())
    }

    @Test
    fun `a setting out of its range is a message`() {
        val screen = Screen().untilReady()
        screen.settings(length = "0")
        screen.press(R.id.write)
        assertTrue(screen.message, "maxNewTokens is 0; it must be a whole number, at least 1" in screen.message)
        screen.settings(length = "5", repetitionPenalty = "0")
        screen.press(R.id.write)
        assertTrue(screen.message, "repetitionPenalty is 0.0; it must be a number above 0" in screen.message)
        screen.settings(length = "5", repetitionPenalty = "much")
        screen.press(R.id.write)
        assertTrue(screen.message, "repetition penalty is 'much'" in screen.message)
        screen.settings(length = "99999999999")
        screen.press(R.id.write)
        assertTrue(screen.message, "length is '99999999999'" in screen.message)
        assertEquals("It was", screen.text)
        assertTrue(screen.isEnabled(R.id.write))
    }

    @Test
    fun `a text longer than the context is a message`() {
        val screen = Screen().untilReady()
        screen.type(R.id.text, "word ".repeat(2000))
        screen.write()
        assertTrue(screen.message, "shorten it" in screen.message)
    }

    @Test
    fun `the self-test passes`() {
        val screen = Screen().untilReady()
        screen.press(R.id.self_test)
        screen.untilReady()
        assertTrue(screen.message, screen.message.startsWith("Self-test passed: "))
    }
}
