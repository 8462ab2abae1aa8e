package dev.gpt2edge.demo

import android.app.Activity
import android.app.AlertDialog
import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.widget.EditText
import android.widget.ImageButton
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView

/** Models, what is asked of them, and figures for who wants them. */
class SettingsPage(
    private val activity: Activity,
    private val model: WritingModel,
    private val importZip: () -> Unit,
    private val importFolder: () -> Unit,
) : Page {
    private val packages: LinearLayout = view(R.id.packages)
    private val fields =
        listOf(R.id.temperature, R.id.top_k, R.id.top_p, R.id.seed, R.id.length, R.id.repetition_penalty)
            .associateWith { view<EditText>(it) }
    private var shown: Pair<List<InstalledPackage>, InstalledPackage?>? = null
    private var rendering = false

    init {
        view<View>(R.id.import_zip).setOnClickListener { importZip() }
        view<View>(R.id.import_folder).setOnClickListener { importFolder() }
        view<View>(R.id.cancel).setOnClickListener { model.stop() }
        view<View>(R.id.self_test).setOnClickListener { model.selfTest() }
        val watcher =
            object : TextWatcher {
                override fun beforeTextChanged(s: CharSequence, start: Int, count: Int, after: Int) = Unit

                override fun onTextChanged(s: CharSequence, start: Int, before: Int, count: Int) = Unit

                override fun afterTextChanged(s: Editable) {
                    if (!rendering) model.change(read())
                }
            }
        for (field in fields.values) field.addTextChangedListener(watcher)
    }

    override fun render(state: ScreenState) {
        rendering = true
        try {
            showSettings(state.settings)
        } finally {
            rendering = false
        }
        val next = state.packages to state.selected
        if (next != shown) showPackages(state)
        shown = next
        for (index in 0 until packages.childCount) {
            val row = packages.getChildAt(index)
            row.isEnabled = state.work == null
            row.findViewById<View>(R.id.package_delete).isEnabled = state.work == null
        }
        for (id in listOf(R.id.import_zip, R.id.import_folder)) view<View>(id).isEnabled = state.work == null
        view<View>(R.id.self_test).isEnabled = state.canWrite
        showImport(state)
        say(R.id.statistics, state.statistics?.let(::words) ?: activity.getString(R.string.no_statistics))
        say(R.id.push_path, state.pushFolder?.let { activity.getString(R.string.push_path, it) })
        say(R.id.error_detail, state.message?.detail)
    }

    private fun read(): Settings {
        fun field(id: Int) = fields.getValue(id).text.toString()
        return Settings(
            field(R.id.temperature),
            field(R.id.top_k),
            field(R.id.top_p),
            field(R.id.seed),
            field(R.id.length),
            field(R.id.repetition_penalty),
        )
    }

    private fun showSettings(next: Settings) {
        if (next == read()) return
        fun set(id: Int, value: String) = fields.getValue(id).run { if (text.toString() != value) setText(value) }
        set(R.id.temperature, next.temperature)
        set(R.id.top_k, next.topK)
        set(R.id.top_p, next.topP)
        set(R.id.seed, next.seed)
        set(R.id.length, next.length)
        set(R.id.repetition_penalty, next.repetitionPenalty)
    }

    private fun showPackages(state: ScreenState) {
        packages.removeAllViews()
        for (one in state.packages) {
            val row = activity.layoutInflater.inflate(R.layout.package_row, packages, false)
            row.isSelected = one == state.selected
            row.findViewById<TextView>(R.id.package_name).text = one.label
            row.findViewById<TextView>(R.id.package_facts).text = words(one.facts)
            row.setOnClickListener { model.select(one) }
            val delete = row.findViewById<ImageButton>(R.id.package_delete)
            delete.contentDescription = activity.getString(R.string.delete_named, one.label)
            delete.visibility = if (one.canDelete) View.VISIBLE else View.GONE
            delete.setOnClickListener { askToDelete(one) }
            packages.addView(row)
        }
    }

    private fun askToDelete(chosen: InstalledPackage) {
        AlertDialog.Builder(activity)
            .setMessage(activity.getString(R.string.delete_question, chosen.label))
            .setPositiveButton(R.string.delete) { _, _ -> model.delete(chosen) }
            .setNegativeButton(R.string.cancel, null)
            .show()
    }

    private fun showImport(state: ScreenState) {
        view<View>(R.id.importing).visibility = if (state.work == Work.IMPORTING) View.VISIBLE else View.GONE
        val percent = state.percent
        say(
            R.id.import_percent,
            if (percent == null) activity.getString(R.string.import_unknown)
            else activity.getString(R.string.import_percent, percent),
        )
        view<ProgressBar>(R.id.import_bar).run {
            isIndeterminate = percent == null
            if (percent != null) progress = percent
        }
    }

    private fun words(facts: PackageFacts?): String {
        if (facts == null) return activity.getString(R.string.facts_none)
        val perplexity = facts.perplexity
        val reference = facts.referencePerplexity
        val quality =
            when {
                perplexity == null -> null
                reference == null -> activity.getString(R.string.facts_perplexity, activity.number(perplexity, 1))
                else -> activity.getString(R.string.facts_perplexity_of, activity.number(perplexity, 1), activity.number(reference, 1))
            }
        val size = activity.getString(R.string.facts_size, activity.number(facts.bytes / 1e6, 1))
        return listOfNotNull(size, facts.recipe, quality).joinToString(" · ")
    }

    private fun words(statistics: Statistics): String =
        activity.getString(
            R.string.statistics,
            activity.number(statistics.tokensPerSecond, 1),
            activity.number(1000 * statistics.timeToFirstTokenSeconds, 1),
            statistics.tokens,
            statistics.memoryBytes / BYTES_IN_MEGABYTE,
        )

    private fun say(id: Int, words: String?) {
        val line = view<TextView>(id)
        if (line.text.toString() != words.orEmpty()) line.text = words
        line.visibility = if (words == null) View.GONE else View.VISIBLE
    }

    private fun <T : View> view(id: Int): T = activity.findViewById(id)

    private companion object {
        const val BYTES_IN_MEGABYTE = 1_000_000
    }
}
