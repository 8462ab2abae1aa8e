package dev.gpt2edge.demo

import android.app.Activity
import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.view.accessibility.AccessibilityEvent
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView

/** The text, three suggestions, and the button that writes and then stops. */
class WritePage(private val activity: Activity, private val model: WritingModel) : Page {
    private val text: TextField = TextField(activity.findViewById(R.id.text), model)
    private val suggestions: LinearLayout = activity.findViewById(R.id.suggestions)
    private val write: Button = activity.findViewById(R.id.write)
    private val suggest: Button = activity.findViewById(R.id.suggest)
    private var shown: List<String>? = null

    init {
        write.setOnClickListener { if (model.state.canStop) model.stop() else model.write() }
        suggest.setOnClickListener { model.suggest() }
    }

    override fun render(state: ScreenState) {
        text.render(state)
        val stops = state.work == Work.WRITING || state.work == Work.SUGGESTING
        val label = activity.getString(if (stops) R.string.stop else R.string.write)
        if (write.text.toString() != label) write.text = label
        write.isEnabled = state.canWrite || stops
        suggest.isEnabled = state.canWrite
        val status = state.work?.let { activity.getString(it.words()) }.orEmpty()
        activity.findViewById<TextView>(R.id.status).run {
            if (this.text.toString() != status) this.text = status
            visibility = if (status.isEmpty()) View.GONE else View.VISIBLE
        }
        if (state.suggestions != shown) show(state.suggestions)
        for (index in 0 until suggestions.childCount) suggestions.getChildAt(index).isEnabled = state.work == null
    }

    private fun show(next: List<String>) {
        shown = next
        suggestions.removeAllViews()
        for (suggestion in next) {
            val row = activity.layoutInflater.inflate(R.layout.suggestion, suggestions, false) as TextView
            row.text = "… ${suggestion.trim().replace("\n", " ⏎ ")}"
            row.setOnClickListener { model.take(suggestion) }
            suggestions.addView(row)
        }
    }

    private fun Work.words() =
        when (this) {
            Work.LOADING -> R.string.loading
            Work.WRITING -> R.string.working_write
            Work.SUGGESTING -> R.string.working_suggest
            Work.READING -> R.string.working_read
            Work.TESTING -> R.string.working_test
            Work.IMPORTING -> R.string.working_import
            Work.DELETING -> R.string.working_delete
        }
}

/** The field of the text: while a text is written it can be read and scrolled, only not changed. */
private class TextField(private val field: EditText, private val model: WritingModel) {
    private var rendering = false
    private val editable = field.inputType

    init {
        field.setOnTouchListener { view, _ -> // a long text scrolls in itself, not with the screen
            if (view.canScrollVertically(1) || view.canScrollVertically(-1)) view.parent.requestDisallowInterceptTouchEvent(true)
            false
        }
        field.addTextChangedListener(
            object : TextWatcher {
                override fun beforeTextChanged(s: CharSequence, start: Int, count: Int, after: Int) = Unit

                override fun onTextChanged(s: CharSequence, start: Int, before: Int, count: Int) = Unit

                override fun afterTextChanged(s: Editable) {
                    if (!rendering) model.type(s.toString(), field.selectionEnd)
                }
            }
        )
        field.accessibilityDelegate =
            object : View.AccessibilityDelegate() { // the framework's own notice of a caret that moved
                override fun sendAccessibilityEvent(host: View, eventType: Int) {
                    super.sendAccessibilityEvent(host, eventType)
                    if (eventType == AccessibilityEvent.TYPE_VIEW_TEXT_SELECTION_CHANGED) caretMoved()
                }
            }
        field.setOnClickListener { caretMoved() }
    }

    fun caretMoved() {
        if (!rendering && field.selectionEnd >= 0 && field.text.toString() == model.state.text) model.moveCaret(field.selectionEnd)
    }

    fun render(state: ScreenState) {
        rendering = true
        try {
            val locked = state.work == Work.WRITING
            if (locked != (field.keyListener == null)) {
                if (locked) field.keyListener = null else field.inputType = editable
            }
            show(state)
        } finally {
            rendering = false
        }
    }

    /** What was put in goes in, which keeps long texts fast and the place in them. */
    private fun show(state: ScreenState) {
        val before = field.text.toString()
        val next = state.text
        if (before != next) {
            val start = before.commonPrefixWith(next).length
            val end = before.substring(start).commonSuffixWith(next.substring(start)).length
            field.text.replace(start, before.length - end, next, start, next.length - end)
            field.setSelection(state.caret.coerceIn(0, field.text.length))
        } else if (field.selectionStart == field.selectionEnd && field.selectionEnd != state.caret) {
            field.setSelection(state.caret.coerceIn(0, field.text.length))
        }
    }
}
