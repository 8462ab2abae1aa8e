package dev.gpt2edge.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.os.Bundle
import android.system.Os
import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.Spinner
import android.widget.TextView
import java.io.File
import java.util.Locale

/** Puts the state on the screen and hands what the user does to [WritingModel]. */
class MainActivity : Activity() {
    private lateinit var model: WritingModel
    private var shown: ScreenState? = null
    private var rendering = false

    private lateinit var text: EditText
    private lateinit var options: LinearLayout
    private lateinit var packages: Spinner
    private lateinit var settings: Map<Int, EditText>

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        Os.setenv("ORT_DISABLE_TELEMETRY", "1", true) // read when ONNX Runtime starts
        setContentView(R.layout.main)
        text = findViewById(R.id.text)
        options = findViewById(R.id.options)
        packages = findViewById(R.id.packages)
        val fields = listOf(R.id.temperature, R.id.top_k, R.id.seed, R.id.length, R.id.repetition_penalty)
        settings = fields.associateWith { findViewById<EditText>(it) }
        findViewById<TextView>(R.id.push_path).text = getString(R.string.push_path, pushFolder()?.path)

        val retained = lastNonConfigurationInstance as WritingModel?
        model = retained ?: newModel(savedInstanceState)
        model.screen = ::render
        restoreView(savedInstanceState)
        listen()
        if (retained == null) model.start()
    }

    override fun onResume() {
        super.onResume()
        model.refreshPackages()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        val saved = model.save().encode()
        if (saved.length <= LARGEST_INSTANCE_STATE) outState.putString(STATE, saved)
        outState.putInt(SELECTION_START, text.selectionStart)
        outState.putInt(SELECTION_END, text.selectionEnd)
        outState.putBoolean(PANEL, panel().visibility == View.VISIBLE)
    }

    override fun onStop() {
        super.onStop()
        model.save()
    }

    @Deprecated("The platform's way for an activity without AndroidX")
    override fun onRetainNonConfigurationInstance(): Any = model

    override fun onDestroy() {
        super.onDestroy()
        if (isChangingConfigurations) model.screen = null else model.close()
    }

    @Deprecated("The platform's way for an activity without AndroidX")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        // A provider of documents is another application: its errors are no reason to end ours.
        try {
            when (requestCode) {
                PICK_ZIP -> model.import(zipDocument(applicationContext.contentResolver, uri))
                PICK_FOLDER -> model.import(FolderDocument(applicationContext.contentResolver, uri))
            }
        } catch (error: RuntimeException) {
            model.fail(getString(R.string.cannot_read, error.message))
        }
    }

    private fun newModel(savedInstanceState: Bundle?) =
        WritingModel(
            AndroidDevice(this),
            PackageStore(File(filesDir, PACKAGES), pushFolder()),
            StateFile(File(filesDir, "state")),
            bundledPackage(applicationContext.assets),
            savedInstanceState?.getString(STATE)?.let { SavedState.decode(it) },
            getString(R.string.first_text),
        )

    /** Where `adb push` puts packages; null while the device has no such storage. */
    private fun pushFolder(): File? = getExternalFilesDir(PACKAGES)

    private fun restoreView(savedInstanceState: Bundle?) {
        val length = text.text.length
        val start = savedInstanceState?.getInt(SELECTION_START) ?: length
        val end = savedInstanceState?.getInt(SELECTION_END) ?: length
        text.setSelection(start.coerceIn(0, length), end.coerceIn(0, length))
        if (savedInstanceState?.getBoolean(PANEL) == true) panel().visibility = View.VISIBLE
    }

    private fun listen() {
        onClick(R.id.write) { model.write() }
        onClick(R.id.stop) { model.stop() }
        onClick(R.id.undo) { model.undo() }
        onClick(R.id.self_test) { model.selfTest() }
        onClick(R.id.import_zip) { pick(Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*"), PICK_ZIP) }
        onClick(R.id.import_folder) { pick(Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), PICK_FOLDER) }
        onClick(R.id.more) { panel().run { visibility = if (visibility == View.VISIBLE) View.GONE else View.VISIBLE } }
        text.onEdit { model.type(it) }
        text.setOnTouchListener { view, _ -> // a long text scrolls in itself, not with the screen
            if (view.canScrollVertically(1) || view.canScrollVertically(-1)) view.parent.requestDisallowInterceptTouchEvent(true)
            false
        }
        for (field in settings.values) field.onEdit { model.change(readSettings()) }
        packages.onItemSelectedListener =
            object : AdapterView.OnItemSelectedListener {
                override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
                    val state = model.state
                    if (!rendering && state.work == null) state.packages.getOrNull(position)?.let { model.select(it) }
                }

                override fun onNothingSelected(parent: AdapterView<*>?) = Unit
            }
    }

    private fun pick(intent: Intent, request: Int) {
        try {
            @Suppress("DEPRECATION") startActivityForResult(intent, request)
        } catch (error: ActivityNotFoundException) {
            model.fail(getString(R.string.no_file_picker))
        }
    }

    private fun readSettings(): Settings {
        fun field(id: Int) = settings.getValue(id).text.toString()
        return Settings(
            field(R.id.temperature),
            field(R.id.top_k),
            field(R.id.seed),
            field(R.id.length),
            field(R.id.repetition_penalty),
        )
    }

    private fun render(state: ScreenState) {
        val before = shown
        shown = state
        rendering = true
        try {
            if (text.text.toString() != state.text) showText(state.text)
            text.isEnabled = state.work != Work.WRITING
            showSettings(state.settings)
            if (before?.packages != state.packages || before.selected != state.selected) showPackages(state)
            if (before?.options != state.options) showOptions(state.options)
            enable(R.id.write, state.canWrite)
            enable(R.id.stop, state.canStop)
            enable(R.id.undo, state.canUndo && state.work == null)
            enable(R.id.self_test, state.canWrite)
            enable(R.id.import_zip, state.work == null)
            enable(R.id.import_folder, state.work == null)
            packages.isEnabled = state.work == null
            for (index in 0 until options.childCount) {
                options.getChildAt(index).isEnabled = state.work == null && state.options[index].canTake
            }
            line(R.id.statistics, state.work?.let { workText(it) } ?: state.statistics?.let { statisticsText(it) })
            line(R.id.message, state.message?.text)
            val colour = if (state.message?.isError == true) R.color.error else R.color.notice
            findViewById<TextView>(R.id.message).setTextColor(getColor(colour))
        } finally {
            rendering = false
        }
    }

    /** New text goes behind what is there, which keeps long texts fast. */
    private fun showText(next: String) {
        val before = text.text.toString()
        if (before.isNotEmpty() && next.startsWith(before)) text.append(next.substring(before.length))
        else text.setText(next)
        text.setSelection(text.text.length)
    }

    private fun showSettings(next: Settings) {
        if (next == readSettings()) return
        fun set(id: Int, value: String) = settings.getValue(id).setText(value)
        set(R.id.temperature, next.temperature)
        set(R.id.top_k, next.topK)
        set(R.id.seed, next.seed)
        set(R.id.length, next.length)
        set(R.id.repetition_penalty, next.repetitionPenalty)
    }

    private fun showPackages(state: ScreenState) {
        val adapter = ArrayAdapter(this, android.R.layout.simple_spinner_item, state.packages.map { it.label })
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        packages.adapter = adapter
        val index = state.packages.indexOf(state.selected)
        if (index >= 0) packages.setSelection(index)
    }

    private fun showOptions(next: List<Option>) {
        options.removeAllViews()
        for (option in next) {
            val button = layoutInflater.inflate(R.layout.option, options, false) as Button
            button.text = option.label
            button.contentDescription = getString(R.string.take, option.description)
            button.setOnClickListener { model.take(option) }
            options.addView(button)
        }
    }

    private fun statisticsText(statistics: Statistics): String =
        getString(
            R.string.statistics,
            String.format(Locale.getDefault(), "%.1f", statistics.tokensPerSecond),
            String.format(Locale.getDefault(), "%.2f", statistics.timeToFirstTokenSeconds),
            statistics.tokens,
            statistics.memoryBytes / BYTES_IN_MEGABYTE,
        )

    private fun workText(work: Work): String =
        getString(
            when (work) {
                Work.LOADING -> R.string.loading
                Work.WRITING -> R.string.writing
                Work.TESTING -> R.string.testing
                Work.IMPORTING -> R.string.importing
            }
        )

    private fun panel(): View = findViewById(R.id.panel)

    private fun onClick(id: Int, action: () -> Unit) = findViewById<View>(id).setOnClickListener { action() }

    private fun enable(id: Int, enabled: Boolean) {
        findViewById<View>(id).isEnabled = enabled
    }

    private fun line(id: Int, content: String?) {
        val view = findViewById<TextView>(id)
        if (view.text.toString() != content.orEmpty()) view.text = content
        view.visibility = if (content == null) View.GONE else View.VISIBLE
    }

    private fun EditText.onEdit(action: (String) -> Unit) =
        addTextChangedListener(
            object : TextWatcher {
                override fun beforeTextChanged(s: CharSequence, start: Int, count: Int, after: Int) = Unit

                override fun onTextChanged(s: CharSequence, start: Int, before: Int, count: Int) = Unit

                override fun afterTextChanged(s: Editable) {
                    if (!rendering) action(s.toString())
                }
            }
        )

    private companion object {
        const val PACKAGES = "packages"
        const val STATE = "state"
        const val SELECTION_START = "selection_start"
        const val SELECTION_END = "selection_end"
        const val PANEL = "panel"
        const val LARGEST_INSTANCE_STATE = 100_000 // characters; all of an application's has 1 MB
        const val PICK_ZIP = 1
        const val PICK_FOLDER = 2
        const val BYTES_IN_MEGABYTE = 1_000_000
    }
}
