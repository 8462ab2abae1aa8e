package dev.gpt2edge.demo

import android.app.Activity
import android.view.View
import android.widget.LinearLayout
import android.widget.TextView

/** What may come next, each with a bar as long as it is likely. */
class NextPage(private val activity: Activity, private val model: WritingModel) : Page {
    private val options: LinearLayout = activity.findViewById(R.id.options)
    private val text: TextView = activity.findViewById(R.id.next_text)
    private var shown: List<Option>? = null

    override fun render(state: ScreenState) {
        val before = state.text.take(state.caret)
        val end = before.takeLast(LONGEST).let { if (it.length < before.length) "…$it" else it }
        val words = end.ifBlank { activity.getString(R.string.next_empty) }
        if (text.text.toString() != words) text.text = words
        if (state.options != shown) show(state.options)
        for (index in 0 until options.childCount) {
            options.getChildAt(index).isEnabled = state.work == null && state.options[index].canTake
        }
    }

    private fun show(next: List<Option>) {
        shown = next
        options.removeAllViews()
        for (option in next) {
            val row = activity.layoutInflater.inflate(R.layout.option, options, false)
            val share = activity.percent(option.probability)
            row.background = Bar(activity, option.probability, activity.readsFromRight())
            row.findViewById<TextView>(R.id.word).text = option.label
            row.findViewById<TextView>(R.id.share_of).text = share
            val spoken = option.text.trim().ifEmpty { activity.getString(R.string.blank, option.text.length) }
            row.contentDescription = activity.getString(R.string.take, spoken, share)
            row.setOnClickListener { model.take(option.text) }
            options.addView(row)
        }
        options.visibility = if (next.isEmpty()) View.INVISIBLE else View.VISIBLE
    }

    private companion object {
        const val LONGEST = 160 // characters
    }
}
