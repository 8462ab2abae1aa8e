package dev.gpt2edge.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.ClipboardManager
import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.widget.TextView

/** Puts the state on the screen's four pages and hands what the user does to [WritingModel]. */
class MainActivity : Activity() {
    private lateinit var model: WritingModel
    private lateinit var pages: List<Page>
    private var tab = R.id.tab_write
    private var asked: String? = null // the text that was last handed to reading
    private var goesOn = false // without the screen, under the service, which then forgets the model

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        model = (application as DemoApplication).model { savedInstanceState?.getString(STATE)?.let { SavedState.decode(it) } }
        setContentView(R.layout.main)
        reachEdges(findViewById(R.id.root))
        val settings =
            SettingsPage(
                this,
                model,
                { pick(Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*"), PICK_ZIP) },
                { pick(Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), PICK_FOLDER) },
            )
        pages = listOf(WritePage(this, model), NextPage(this, model), ReadPage(this), settings)
        onClick(R.id.undo) { model.undo() }
        onClick(R.id.redo) { model.redo() }
        onClick(R.id.copy) { copy() }
        onClick(R.id.share) { share() }
        for (id in TABS.keys) onClick(id) { show(id) }
        show(savedInstanceState?.getInt(TAB)?.takeIf { it in TABS } ?: R.id.tab_write)
        model.screen = ::render
    }

    override fun onResume() {
        super.onResume()
        model.refreshPackages()
    }

    override fun onPause() {
        super.onPause()
        goesOn = !isChangingConfigurations && WritingService.isBusy(model.state) && WritingService.start(this)
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        val saved = model.save()?.encode()
        if (saved != null && saved.length <= LARGEST_INSTANCE_STATE) outState.putString(STATE, saved)
        outState.putInt(TAB, tab)
    }

    override fun onStop() {
        super.onStop()
        model.save()
    }

    override fun onDestroy() {
        super.onDestroy()
        model.screen = null
        val serviceForgets = goesOn && WritingService.isBusy(model.state)
        if (!isChangingConfigurations && !serviceForgets) (application as DemoApplication).forgetModel()
    }

    @Deprecated("The platform's way for an activity without AndroidX")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        val resolver = applicationContext.contentResolver
        when (requestCode) {
            PICK_ZIP -> model.import { zipDocument(resolver, uri) }
            PICK_FOLDER -> model.import { FolderDocument(resolver, uri) }
        }
    }

    private fun pick(intent: Intent, request: Int) {
        try {
            @Suppress("DEPRECATION") startActivityForResult(intent, request)
        } catch (error: ActivityNotFoundException) {
            model.fail(Message(R.string.no_file_picker))
        }
    }

    private fun copy() {
        val clipboard = getSystemService(Context.CLIPBOARD_SERVICE) as ClipboardManager
        clipboard.setPrimaryClip(ClipData.newPlainText(getString(R.string.app_name), model.state.text))
        model.fail(Message(R.string.copied, isError = false))
    }

    private fun share() {
        val text = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, model.state.text)
        startActivity(Intent.createChooser(text, getString(R.string.share)))
    }

    private fun show(next: Int) {
        tab = next
        for ((id, page) in TABS) {
            findViewById<View>(id).isSelected = id == next
            findViewById<View>(page.view).visibility = if (id == next) View.VISIBLE else View.GONE
        }
        findViewById<TextView>(R.id.title).setText(TABS.getValue(next).title)
        for (id in TEXT_ACTIONS) findViewById<View>(id).visibility = if (next == R.id.tab_settings) View.GONE else View.VISIBLE
        asked = null
        readIfShown(model.state)
    }

    /** Once for a text: one that cannot be read is not tried again and again. */
    private fun readIfShown(state: ScreenState) {
        if (tab != R.id.tab_read || !state.canWrite || state.reading != null || asked == state.text) return
        asked = state.text
        model.read()
    }

    private fun render(state: ScreenState) {
        for (page in pages) page.render(state)
        enable(R.id.undo, state.canUndo && state.work == null)
        enable(R.id.redo, state.canRedo && state.work == null)
        enable(R.id.copy, state.text.isNotEmpty())
        enable(R.id.share, state.text.isNotEmpty())
        val line = findViewById<TextView>(R.id.message)
        val words = state.message?.words(resources)
        if (line.text.toString() != words.orEmpty()) line.text = words
        line.setTextColor(getColor(if (state.message?.isError == true) R.color.error else R.color.on_surface_variant))
        line.visibility = if (words == null) View.GONE else View.VISIBLE
        readIfShown(state)
    }

    /** The window goes under the system's bars; what is in it stays clear of them and of the keyboard. */
    private fun reachEdges(root: ViewGroup) {
        @Suppress("DEPRECATION")
        root.systemUiVisibility =
            View.SYSTEM_UI_FLAG_LAYOUT_STABLE or
                View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN or
                View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION
        root.setOnApplyWindowInsetsListener { view, insets ->
            @Suppress("DEPRECATION") // before Android 11 there is no other, and it has the keyboard too
            view.setPadding(
                insets.systemWindowInsetLeft,
                insets.systemWindowInsetTop,
                insets.systemWindowInsetRight,
                insets.systemWindowInsetBottom,
            )
            insets
        }
    }

    private fun onClick(id: Int, action: () -> Unit) = findViewById<View>(id).setOnClickListener { action() }

    private fun enable(id: Int, enabled: Boolean) {
        findViewById<View>(id).isEnabled = enabled
    }

    private class Tab(val view: Int, val title: Int)

    private companion object {
        val TABS =
            mapOf(
                R.id.tab_write to Tab(R.id.page_write, R.string.tab_write),
                R.id.tab_next to Tab(R.id.page_next, R.string.tab_next),
                R.id.tab_read to Tab(R.id.page_read, R.string.tab_read),
                R.id.tab_settings to Tab(R.id.page_settings, R.string.tab_settings),
            )
        val TEXT_ACTIONS = listOf(R.id.undo, R.id.redo, R.id.copy, R.id.share)
        const val STATE = "state"
        const val TAB = "tab"
        const val LARGEST_INSTANCE_STATE = 100_000 // characters; all of an application's has 1 MB
        const val PICK_ZIP = 1
        const val PICK_FOLDER = 2
    }
}
