package dev.gpt2edge.demo

import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Every page as Android 14 draws it, into build/pictures, and what must be true of each picture. */
@RunWith(DemoRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [34])
class PictureTest {
    @Test fun light() = pictures("light", PHONE)

    @Test fun dark() = pictures("dark", PHONE.replace("notnight", "night"))

    @Test fun german() = pictures("german", "de-$PHONE")

    @Test fun `large fonts`() = pictures("large", PHONE, fonts = 2f)

    @Test fun `large fonts in German`() = pictures("large-german", "de-$PHONE", fonts = 2f)

    @Test fun `from right to left`() = pictures("rtl", "ar-rEG-ldrtl-$PHONE")

    @Test fun landscape() = pictures("landscape", "w891dp-h411dp-land-420dpi")

    @Test
    fun `the colours of surprise leave text readable`() {
        for (qualifiers in listOf("+notnight", "+night")) {
            RuntimeEnvironment.setQualifiers(qualifiers)
            val application = RuntimeEnvironment.getApplication()
            val text = application.getColor(R.color.on_surface)
            for (id in listOf(R.color.surprise_1, R.color.surprise_2, R.color.surprise_3, R.color.surprise_4)) {
                assertTrue(Picture.contrast(text, application.getColor(id)) >= Picture.CONTRAST)
            }
        }
    }

    private fun pictures(name: String, qualifiers: String, fonts: Float = 1f) {
        RuntimeEnvironment.setQualifiers(qualifiers)
        RuntimeEnvironment.setFontScale(fonts)
        val screen = Screen().untilReady().untilOptions()
        val density = screen.activity.resources.displayMetrics.density
        val bar = (24 * density).toInt()
        screen.view<ViewGroup>(R.id.root).dispatchApplyWindowInsets(WindowInsets(Rect(0, bar, 0, bar)))
        val faults = ArrayList<String>()
        fun draw(page: String) {
            faults += Picture(screen, "$name-$page").faults().map { "$page: $it" }
        }
        screen.type(R.id.text, TEXT.substringBeforeLast(" "))
        screen.until("options") { screen.model().state.options.isNotEmpty() }
        screen.press(R.id.tab_next)
        draw("next")
        screen.press(R.id.tab_write)
        screen.type(R.id.text, TEXT)
        screen.settings(temperature = "0.9", topK = "40", seed = "3", length = "40")
        screen.press(R.id.suggest)
        screen.untilReady()
        draw("write")
        screen.settings(temperature = "0.9", topK = "40", seed = "3", length = "400")
        screen.press(R.id.write)
        screen.until("writing") { screen.text.length > TEXT.length + 60 }
        draw("writing")
        screen.untilReady() // so that as much is read in every run
        screen.press(R.id.tab_read)
        screen.until("read") { screen.model().state.reading != null && screen.model().state.work == null }
        draw("read")
        screen.press(R.id.tab_settings)
        draw("settings")
        screen.view<View>(R.id.page_settings).run { scrollTo(0, (this as ViewGroup).getChildAt(0).height) }
        draw("settings-end")
        assertEquals(emptyList<String>(), faults)
    }

    private companion object {
        const val PHONE = "w411dp-h891dp-port-notnight-420dpi"
        const val TEXT = "It was a quiet evening, and the old house stood at the end of the road."
    }
}
