package dev.gpt2edge.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import android.widget.EditText
import android.widget.TextView
import java.io.File

/** A picture of what is on the screen, drawn by Android's own code, and what is wrong with it. */
class Picture(private val screen: Screen, name: String) {
    private val root: View = screen.activity.window.decorView
    private val density = screen.activity.resources.displayMetrics.density
    private val bitmap: Bitmap
    private val wrong = ArrayList<String>()

    init {
        screen.layOut()
        bitmap = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(bitmap))
        val folder = File(System.getProperty("gpt2edge.pictures") ?: "build/pictures").apply { mkdirs() }
        File(folder, "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    /** Every fault of it, in words. */
    fun faults(): List<String> {
        for (view in shown(root)) {
            if (view.isClickable || view is EditText) target(view)
            if (view is TextView && view.text.isNotBlank()) {
                whole(view)
                contrast(view)
            }
        }
        return wrong
    }

    /** Of what can be pressed: 48 dp in both directions, and a name. */
    private fun target(view: View) {
        val width = Math.round(view.width / density)
        val height = Math.round(view.height / density)
        if (width < TARGET || height < TARGET) wrong += "${nameOf(view)} is $width x $height dp"
        if (view.contentDescription.isNullOrEmpty() && texts(view).none()) wrong += "${nameOf(view)} has no name"
    }

    /** No line is cut off, and no word broken. */
    private fun whole(view: TextView) {
        val layout = view.layout ?: return
        val height = view.height - view.compoundPaddingTop - view.compoundPaddingBottom
        val width = view.width - view.compoundPaddingLeft - view.compoundPaddingRight
        if (view !is EditText && layout.height > height + 1) wrong += "${nameOf(view)} is cut off: ${layout.height} of $height"
        for (line in 0 until layout.lineCount) {
            if (layout.getEllipsisCount(line) > 0) wrong += "${nameOf(view)} ends in an ellipsis"
            if (layout.getLineMax(line) > width + 1) wrong += "${nameOf(view)} is wider than its place: ${layout.text.subSequence(layout.getLineStart(line), layout.getLineEnd(line))}"
            val end = layout.getLineEnd(line)
            if (breaksWord(view.text, end)) {
                wrong += "${nameOf(view)} breaks a word: …${view.text.substring(maxOf(0, end - 8), end)}|${view.text[end]}"
            }
        }
    }

    /** Paths are no words: they may break anywhere. */
    private fun breaksWord(text: CharSequence, end: Int): Boolean {
        if (end !in 1 until text.length || !text[end - 1].isLetter() || !text[end].isLetter()) return false
        val around = text.substring(0, end).takeLastWhile { !it.isWhitespace() } + text.substring(end).takeWhile { !it.isWhitespace() }
        return '/' !in around
    }

    /** Of text that can be acted on, measured in the picture: the background is the colour there is most of. */
    private fun contrast(view: TextView) {
        val area = Rect()
        if (!view.getGlobalVisibleRect(area) || area.height() < view.height || !view.isEnabled) return
        if (generateSequence(view.parent as? View) { it.parent as? View }.any { !it.isEnabled }) return
        val counts = HashMap<Int, Int>()
        for (y in area.top until area.bottom) {
            for (x in area.left until area.right) counts.merge(bitmap.getPixel(x, y), 1, Int::plus)
        }
        val background = counts.maxByOrNull { it.value }!!.key
        val best = counts.keys.maxOf { contrast(it, background) }
        if (best < CONTRAST) wrong += "${nameOf(view)} has a contrast of %.2f".format(best)
    }

    private fun nameOf(view: View): String {
        val id = if (view.id == View.NO_ID) "" else screen.activity.resources.getResourceEntryName(view.id)
        return "$id '${texts(view).firstOrNull().orEmpty().take(20)}'"
    }

    private fun texts(view: View): Sequence<String> =
        shown(view).filterIsInstance<TextView>().map { it.text.ifEmpty { it.hint ?: "" }.toString() }.filter { it.isNotEmpty() }

    companion object {
        private const val TARGET = 48
        const val CONTRAST = 4.5

        /** Web Content Accessibility Guidelines 2.1: from 1 to 21. */
        fun contrast(one: Int, other: Int): Double {
            val (dark, light) = listOf(one, other).map { Color.luminance(it).toDouble() }.sorted()
            return (light + 0.05) / (dark + 0.05)
        }

        private fun shown(view: View): Sequence<View> = sequence {
            if (view.visibility != View.VISIBLE) return@sequence
            yield(view)
            if (view is ViewGroup) for (index in 0 until view.childCount) yieldAll(shown(view.getChildAt(index)))
        }
    }
}
