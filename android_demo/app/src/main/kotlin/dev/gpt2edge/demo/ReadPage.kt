package dev.gpt2edge.demo

import android.app.Activity
import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.TextPaint
import android.text.method.LinkMovementMethod
import android.text.style.BackgroundColorSpan
import android.text.style.ClickableSpan
import android.view.View
import android.widget.TextView

/** The text, coloured by how little each word was expected. */
class ReadPage(private val activity: Activity) : Page {
    private val text: TextView = activity.findViewById(R.id.reading)
    private val summary: TextView = activity.findViewById(R.id.reading_summary)
    private var shown: Reading? = null

    init {
        text.movementMethod = LinkMovementMethod.getInstance()
    }

    override fun render(state: ScreenState) {
        val reading = state.reading
        if (reading == null) {
            text.text = state.text.ifBlank { activity.getString(R.string.read_empty) }
            summary.text = ""
        } else if (reading !== shown) {
            text.text = coloured(reading)
            summary.text = summaryOf(reading)
        }
        shown = reading
    }

    private fun coloured(reading: Reading): CharSequence {
        val all = SpannableStringBuilder()
        for (word in reading.words) {
            val start = all.length
            all.append(word.text)
            val colour = COLOURS[word.level]
            if (colour != 0) all.setSpan(BackgroundColorSpan(activity.getColor(colour)), start, all.length, FLAGS)
            all.setSpan(Expected(word), start, all.length, FLAGS)
        }
        return all
    }

    private fun summaryOf(reading: Reading): String {
        val perplexity = reading.perplexity ?: return ""
        val predicted = reading.words.count { it.surprise != null }
        val left = if (reading.left > 0) "\n" + activity.getString(R.string.reading_left, reading.left) else ""
        return activity.getString(R.string.reading_summary, activity.number(perplexity, 1), predicted) + left
    }

    /** Says below the text how a word was expected. */
    private inner class Expected(private val word: ReadWord) : ClickableSpan() {
        override fun onClick(widget: View) {
            val name = word.text.trim()
            summary.text =
                if (word.probability == null || word.rank == null || word.surprise == null) {
                    activity.getString(R.string.reading_first, name)
                } else {
                    val bits = activity.number(word.surprise, 1)
                    activity.getString(R.string.reading_word, name, activity.percent(word.probability), word.rank, bits)
                }
        }

        override fun updateDrawState(paint: TextPaint) = Unit // it looks as all text does
    }

    private companion object {
        val COLOURS = intArrayOf(0, R.color.surprise_1, R.color.surprise_2, R.color.surprise_3, R.color.surprise_4)
        const val FLAGS = Spanned.SPAN_EXCLUSIVE_EXCLUSIVE
    }
}
