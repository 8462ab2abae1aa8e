package dev.gpt2edge.demo

import android.content.res.Resources
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** What the screen says of itself to those who do not see it, and where it stands in its window. */
@RunWith(DemoRunner::class)
class LayoutTest {
    @Test
    fun `what changes by itself is announced`() {
        val screen = Screen().untilReady().untilOptions()
        for (id in listOf(R.id.message, R.id.status, R.id.suggestions, R.id.reading_summary)) {
            assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, screen.view<View>(id).accessibilityLiveRegion)
        }
        val option = screen.options.first()
        assertTrue("${option.contentDescription}", Regex("Add .+, [0-9.]+ %").matches(option.contentDescription))
    }

    @Test
    fun `a long text leaves the buttons on the screen`() {
        val screen = Screen().untilReady()
        screen.type(R.id.text, "line\n".repeat(200))
        screen.layOut()
        val position = IntArray(2)
        screen.view<View>(R.id.write).getLocationInWindow(position)
        val height = screen.activity.resources.displayMetrics.heightPixels
        assertTrue("Write at ${position[1]} of $height", position[1] in 1 until height)
        assertTrue("the text scrolls", screen.field(R.id.text).canScrollVertically(-1) || screen.field(R.id.text).canScrollVertically(1))
    }

    @Test
    fun `bars and keyboard of an edge-to-edge window cover nothing`() {
        val screen = Screen().untilReady()
        val root = screen.view<ViewGroup>(R.id.root)
        @Suppress("DEPRECATION")
        assertTrue(root.systemUiVisibility and View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION != 0)
        root.dispatchApplyWindowInsets(WindowInsets(Rect(0, 60, 0, 300)))
        assertEquals(60, root.paddingTop)
        assertEquals(300, root.paddingBottom)
    }

    @Test
    fun `each tab shows its page alone and says which it is`() {
        val screen = Screen().untilReady()
        val pages = listOf(R.id.page_write, R.id.page_next, R.id.page_read, R.id.page_settings)
        val tabs = listOf(R.id.tab_write, R.id.tab_next, R.id.tab_read, R.id.tab_settings)
        for (chosen in tabs.indices) {
            screen.press(tabs[chosen])
            for (index in tabs.indices) {
                assertEquals(index == chosen, screen.view<View>(pages[index]).visibility == View.VISIBLE)
                assertEquals(index == chosen, screen.view<View>(tabs[index]).isSelected)
            }
        }
        assertFalse(screen.view<View>(R.id.text).isShown)
    }

    @Test
    fun `what is done with a text is offered where there is one`() {
        val screen = Screen().untilReady()
        val actions = listOf(R.id.undo, R.id.redo, R.id.copy, R.id.share)
        for (tab in listOf(R.id.tab_settings, R.id.tab_read, R.id.tab_write)) {
            screen.press(tab)
            for (id in actions) assertEquals(tab != R.id.tab_settings, screen.view<View>(id).isShown)
        }
    }

    @Test
    fun `what is said of a word stays in sight below a long text`() {
        val screen = Screen().untilReady()
        screen.type(R.id.text, "It was late. ".repeat(100))
        screen.press(R.id.tab_read)
        screen.until("read") { screen.model().state.reading != null }
        screen.layOut()
        val position = IntArray(2)
        val summary = screen.view<View>(R.id.reading_summary)
        summary.getLocationInWindow(position)
        val height = screen.activity.resources.displayMetrics.heightPixels
        assertTrue("${position[1]} and ${summary.height} of $height", summary.height > 0 && position[1] + summary.height <= height)
    }

    @Test
    fun `numbers are written as the words around them are`() {
        for ((language, expected) in mapOf("en" to "12.5 %", "de" to "12,5 %")) {
            org.robolectric.RuntimeEnvironment.setQualifiers("+$language")
            assertEquals(expected, org.robolectric.RuntimeEnvironment.getApplication().percent(0.125))
        }
    }

    @Test
    fun `lying on its side the text stands beside its suggestions`() {
        org.robolectric.RuntimeEnvironment.setQualifiers("w891dp-h411dp-land-420dpi")
        val screen = Screen().untilReady()
        screen.settings(temperature = "1", seed = "5", length = "20")
        screen.press(R.id.suggest)
        screen.untilReady()
        screen.layOut()
        fun place(id: Int) = IntArray(2).also { screen.view<View>(id).getLocationInWindow(it) }
        assertEquals(place(R.id.text)[1].toFloat(), place(R.id.suggestions)[1].toFloat(), 24f)
        assertTrue(screen.field(R.id.text).height > screen.activity.resources.displayMetrics.heightPixels / 2)
    }

    @Test
    fun `every word is there in both languages, with the same places to fill`() {
        val (english, german) = listOf("en", "de").map { language ->
            org.robolectric.RuntimeEnvironment.setQualifiers("+$language")
            val resources = org.robolectric.RuntimeEnvironment.getApplication().resources
            stringIds(resources).associate { resources.getResourceEntryName(it) to resources.getString(it) }
        }
        assertTrue(english.size > 100)
        val places = Regex("%[0-9]\\$[sd]|%%")
        for ((name, words) in english) {
            val other = german.getValue(name)
            val expected = places.findAll(words).map { it.value }.toSet()
            assertEquals(name, expected, places.findAll(other).map { it.value }.toSet())
            val isSame = name in setOf("app_name", "first_text", "facts_size", "length_hint")
            assertEquals("$name: $other", isSame, words == other)
        }
    }

    /** All of them, without R's fields: R8 leaves only constants of those. */
    private fun stringIds(resources: Resources): List<Int> =
        generateSequence(R.string.app_name and -0x10000) { it + 1 }
            .takeWhile { runCatching { resources.getResourceEntryName(it) }.isSuccess }
            .toList()
}

internal fun Screen.layOut() {
    Screen.idle()
    val root = activity.window.decorView
    val metrics = activity.resources.displayMetrics
    root.measure(
        View.MeasureSpec.makeMeasureSpec(metrics.widthPixels, View.MeasureSpec.EXACTLY),
        View.MeasureSpec.makeMeasureSpec(metrics.heightPixels, View.MeasureSpec.EXACTLY),
    )
    root.layout(0, 0, metrics.widthPixels, metrics.heightPixels)
}
