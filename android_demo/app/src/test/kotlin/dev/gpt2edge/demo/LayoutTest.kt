package dev.gpt2edge.demo

import android.content.res.Configuration
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import android.widget.EditText
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment

/** What the screen looks like, as far as the framework computes it. */
@RunWith(DemoRunner::class)
class LayoutTest {
    @Test
    fun `everything that can be pressed is 48dp high and has a name`() {
        val screen = opened()
        val small = ArrayList<String>()
        val density = screen.activity.resources.displayMetrics.density
        for (view in screen.all().filter { (it.isClickable || it is EditText) && it.isShown }) {
            val name = view.contentDescription ?: (view as? TextView)?.run { text.ifEmpty { hint } }
            if (view.height < 48 * density) small.add("$name: ${view.height / density}dp high")
            if (name.isNullOrEmpty()) small.add("$view has no name")
        }
        assertEquals(emptyList<String>(), small)
    }

    @Test
    fun `what changes by itself is announced`() {
        val screen = opened()
        for (id in listOf(R.id.message, R.id.statistics)) {
            assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, screen.view<View>(id).accessibilityLiveRegion)
        }
        val option = screen.untilOptions().options.first()
        assertTrue("${option.contentDescription}", Regex("Add .+, [0-9.]+%").matches(option.contentDescription))
    }

    @Test
    fun `a long text leaves the buttons on the screen`() {
        val screen = Screen().untilReady()
        screen.type(R.id.text, "line\n".repeat(200))
        screen.layOut()
        val position = IntArray(2)
        screen.view<View>(R.id.stop).getLocationInWindow(position)
        val height = screen.activity.resources.displayMetrics.heightPixels
        assertTrue("Stop at ${position[1]} of $height", position[1] in 1 until height)
        assertTrue("the text scrolls", screen.field(R.id.text).canScrollVertically(-1) || screen.field(R.id.text).canScrollVertically(1))
    }

    @Test
    fun `night has other colours`() {
        val day = Screen().untilReady()
        val colours = listOf(R.color.bar, R.color.error, R.color.accent)
        val light = colours.map { day.activity.getColor(it) } + day.field(R.id.text).currentTextColor
        RuntimeEnvironment.setQualifiers("+night")
        val night = Screen().untilReady()
        val mode = night.activity.resources.configuration.uiMode and Configuration.UI_MODE_NIGHT_MASK
        assertEquals(Configuration.UI_MODE_NIGHT_YES, mode)
        val dark = colours.map { night.activity.getColor(it) } + night.field(R.id.text).currentTextColor
        for ((one, other) in light.zip(dark)) assertNotEquals(one, other)
    }

    @Test
    fun `bars and keyboard of an edge-to-edge window cover nothing`() {
        val screen = opened()
        val root = screen.view<ViewGroup>(android.R.id.content).getChildAt(0)
        root.dispatchApplyWindowInsets(WindowInsets(Rect(0, 60, 0, 300)))
        assertEquals(60, root.paddingTop)
        assertEquals(300, root.paddingBottom)
    }

    private fun opened(): Screen {
        val screen = Screen().untilReady().untilOptions()
        screen.press(R.id.more)
        screen.settings(length = "5")
        screen.write()
        screen.untilOptions()
        screen.layOut()
        return screen
    }

    private fun Screen.layOut() {
        Screen.idle()
        val root = activity.window.decorView
        val metrics = activity.resources.displayMetrics
        root.measure(
            View.MeasureSpec.makeMeasureSpec(metrics.widthPixels, View.MeasureSpec.EXACTLY),
            View.MeasureSpec.makeMeasureSpec(metrics.heightPixels, View.MeasureSpec.EXACTLY),
        )
        root.layout(0, 0, metrics.widthPixels, metrics.heightPixels)
    }

    private fun Screen.all(): Sequence<View> {
        fun under(view: View): Sequence<View> = sequence {
            yield(view)
            if (view is ViewGroup) for (index in 0 until view.childCount) yieldAll(under(view.getChildAt(index)))
        }
        return under(view(android.R.id.content))
    }
}
