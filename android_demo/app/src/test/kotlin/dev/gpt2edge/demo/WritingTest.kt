package dev.gpt2edge.demo

import android.content.ClipboardManager
import android.content.Context
import android.content.Intent
import android.text.Editable
import android.text.Spanned
import android.text.TextWatcher
import android.text.style.BackgroundColorSpan
import android.text.style.ClickableSpan
import android.widget.TextView
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Shadows.shadowOf

/** Writing with the bundled package. */
@RunWith(DemoRunner::class)
class WritingTest {
    @Test
    fun `the first start loads the bundled package and shows the likeliest next words`() {
        val screen = Screen().untilReady().untilOptions()
        assertEquals(listOf("sample-int4"), screen.packages)
        assertEquals("It was", screen.text)
        assertEquals(10, screen.options.size)
        val percentages =
            screen.options.map { it.findViewById<TextView>(R.id.share_of).text.removeSuffix(" %").toString().toDouble() }
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
                    if (lengths.size == 2) screen.stop()
                }
            }
        )
        screen.write()
        assertTrue("grew in pieces: $lengths", lengths.size >= 2 && lengths == lengths.sorted())
        assertEquals("Stopped.", screen.message)
        val tokens = screen.model().state.statistics!!.tokens
        assertTrue("${screen.statistics}", tokens in 2..479)
        assertTrue(screen.text.startsWith("It was "))
        assertEquals("Write", screen.view<TextView>(R.id.write).text)
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
        assertFalse(screen.isEnabled(R.id.undo) || screen.isEnabled(R.id.redo))
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
        for (expected in listOf(chosen, written, "$written and so")) {
            screen.press(R.id.redo)
            assertEquals(expected, screen.text)
        }
        assertFalse(screen.isEnabled(R.id.redo))
        screen.press(R.id.undo)
        screen.type(R.id.text, "other")
        assertFalse("what was undone is gone once something else is typed", screen.isEnabled(R.id.redo))
    }

    @Test
    fun `text is put in at the caret, and read up to it`() {
        val screen = Screen().untilReady()
        screen.type(R.id.text, "It was. The end.")
        screen.field(R.id.text).setSelection("It was".length)
        screen.untilOptions()
        val option = screen.model().state.options.first { it.canTake }
        screen.model().take(option.text)
        assertEquals("It was${option.text}. The end.", screen.text)
        assertEquals("It was${option.text}".length, screen.field(R.id.text).selectionEnd)
        screen.press(R.id.undo)
        screen.field(R.id.text).setSelection("It was".length)
        screen.settings(length = "8")
        screen.write()
        assertTrue(screen.text, screen.text.startsWith("It was ") && screen.text.endsWith(". The end."))
    }

    @Test
    fun `Undo and Redo leave the caret where their change ends`() {
        val history = TextHistory("It was")
        history.begin()
        history.extend(" in the grass") // which ends as the text before did
        history.undo()
        assertEquals(6, history.caret)
        history.redo()
        assertEquals("It was in the grass".length, history.caret)
        history.moveTo(6)
        history.begin()
        history.extend(" late")
        history.undo()
        assertEquals("It was in the grass" to 6, history.text to history.caret)
    }

    @Test
    fun `three suggestions, one of which is taken`() {
        val screen = Screen().untilReady()
        screen.settings(temperature = "1", seed = "5", length = "20")
        screen.press(R.id.suggest)
        screen.untilReady()
        val found = screen.model().state.suggestions
        assertEquals(3, found.toSet().size)
        assertEquals(3, screen.suggestions.size)
        screen.suggestions[1].performClick()
        assertEquals("It was" + found[1], screen.text)
        assertEquals(0, screen.suggestions.size)
        screen.press(R.id.undo)
        assertEquals("It was", screen.text)
    }

    @Test
    fun `while it writes the text can be read, not changed`() {
        val screen = Screen().untilReady()
        screen.settings(length = "480")
        screen.press(R.id.write)
        screen.until("writing") { screen.text.length > 20 }
        val field = screen.field(R.id.text)
        assertTrue(field.isEnabled && field.keyListener == null)
        screen.stop()
        screen.untilReady()
        assertTrue(field.isEnabled && field.keyListener != null)
    }

    @Test
    fun `each word of a text is coloured by how little it was expected`() {
        val screen = Screen().untilReady()
        screen.type(R.id.text, "It was a zebra quantum the of")
        screen.press(R.id.tab_read)
        screen.until("read") { screen.model().state.reading != null && screen.model().state.work == null }
        val reading = screen.model().state.reading!!
        assertEquals(screen.text, reading.words.joinToString("") { it.text })
        assertTrue(reading.words.map { it.level }.toSet().size > 2)
        val shown = screen.view<TextView>(R.id.reading).text as Spanned
        assertEquals(screen.text, shown.toString())
        val coloured = shown.getSpans(0, shown.length, BackgroundColorSpan::class.java).size
        assertEquals(reading.words.count { it.level > 0 }, coloured)
        shown.getSpans(0, shown.length, ClickableSpan::class.java).last().onClick(screen.view(R.id.reading))
        val said = screen.view<TextView>(R.id.reading_summary).text
        assertTrue("$said", "bits" in said && reading.words.last().text.trim() in said)
    }

    @Test
    fun `a page of reading that is opened before the model is loaded fills by itself`() {
        val screen = Screen()
        screen.press(R.id.tab_read)
        screen.until("read") { screen.model().state.reading != null }
        assertEquals("It was", screen.view<TextView>(R.id.reading).text.toString())
    }

    @Test
    fun `the text is copied and shared`() {
        val screen = Screen().untilReady()
        screen.press(R.id.copy)
        val clipboard = screen.activity.getSystemService(Context.CLIPBOARD_SERVICE) as ClipboardManager
        assertEquals("It was", clipboard.primaryClip!!.getItemAt(0).text)
        screen.press(R.id.share)
        @Suppress("DEPRECATION")
        val shared = shadowOf(screen.activity).nextStartedActivity.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!!
        assertEquals("It was", shared.getStringExtra(Intent.EXTRA_TEXT))
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
        screen.refresh("short (adb)")
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
        screen.refresh("own (adb)")
        screen.choose("own (adb)")
        screen.untilReady()
        assertEquals(listOf("0.5", "", "9", "1.3"), shown())
        screen.write()
        assertEquals(9, screen.model().state.statistics!!.tokens)
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
        assertTrue(screen.message, "The length is 0: it must be a whole number" in screen.message)
        screen.settings(length = "5", repetitionPenalty = "0")
        screen.press(R.id.write)
        assertTrue(screen.message, "The repetition penalty is 0.0: it must be above 0" in screen.message)
        screen.settings(length = "5", repetitionPenalty = "much")
        screen.press(R.id.write)
        assertTrue(screen.message, "The repetition penalty is much" in screen.message)
        screen.settings(length = "99999999999")
        screen.press(R.id.write)
        assertTrue(screen.message, "The length is 99999999999" in screen.message)
        assertEquals("It was", screen.text)
        assertTrue(screen.isEnabled(R.id.write))
    }

    @Test
    fun `of a text longer than the context the last tokens count`() {
        val screen = Screen().untilReady()
        val long = "word ".repeat(2000)
        screen.type(R.id.text, long)
        screen.settings(length = "9")
        screen.write()
        assertTrue(screen.text.startsWith(long) && screen.text.length > long.length)
        screen.untilOptions()
        screen.press(R.id.tab_read)
        screen.until("read") { screen.model().state.reading != null }
        assertTrue(screen.model().state.reading!!.left > 1000)
    }

    @Test
    fun `the self-test passes`() {
        val screen = Screen().untilReady()
        screen.press(R.id.self_test)
        screen.untilReady()
        assertTrue(screen.message, screen.message.startsWith("Self-test passed"))
    }
}
