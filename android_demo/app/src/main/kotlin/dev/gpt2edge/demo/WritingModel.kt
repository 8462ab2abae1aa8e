package dev.gpt2edge.demo

import dev.gpt2edge.GenerationConfig
import dev.gpt2edge.GenerationResult

/** What is done with the text: written, suggested, read, chosen word by word, edited, kept. */
class WritingModel(
    device: Device,
    store: PackageStore,
    private val stateFile: StateFile,
    private val findBundled: () -> BundledPackage?,
    private val restored: SavedState? = null,
    private val firstText: String = "",
    private var before: WritingModel? = null,
) : PackagesModel(device, store, restored?.text.orEmpty()) {
    private var history = TextHistory(state.text)
    private var revision = 0L
    private var savedAt = System.nanoTime()
    private var started = false
    @Volatile private var textVersion = 0

    /** Finds the text that was kept, installs the bundled package if need be, loads the one used last. */
    fun start() =
        work(Work.LOADING) {
            awaitBefore() // it may still be saving its text or removing half a copy
            val saved = SavedState.newer(restored, stateFile.read())
            onScreen { restore(saved) }
            store.clean()
            // A full disk must not keep the packages that are there from being used.
            var bundled: BundledPackage? = null
            val problem = attempt {
                bundled = findBundled()
                bundled?.let { store.installBundled(it.source, it.manifest) }
            }
            val packages = store.list()
            val pushFolder = store.pushed?.path
            onScreen {
                show(state.copy(packages = packages, pushFolder = pushFolder))
                val selected =
                    packages.firstOrNull { it.folder.path == wantedFolder }
                        ?: packages.firstOrNull { it.folder.name == bundled?.source?.name }
                        ?: packages.firstOrNull()
                if (selected != null) select(selected)
                if (problem != null) fail(problem)
                if (selected == null && problem == null) fail(Message(R.string.problem_none))
            }
        }

    private fun awaitBefore() {
        before?.awaitClosed(CLOSES)
        before = null
    }

    /** Also where it was closed before it began: who waits for this one waits for those before it. */
    override fun freeMemory() {
        awaitBefore()
        super.freeMemory()
    }

    private fun restore(saved: SavedState?) {
        history =
            if (saved == null) TextHistory(firstText) else TextHistory(saved.text, saved.caret, saved.earlier, saved.later)
        revision = saved?.revision ?: 0
        wantedFolder = saved?.packageFolder
        defaults = saved?.defaults ?: Settings()
        started = true
        show(state.copy(settings = saved?.settings ?: Settings()))
        textChanged(message = null)
    }

    fun type(edited: String, caret: Int) {
        if (!started || state.work == Work.WRITING || edited == history.text) return
        history.type(edited, caret)
        textChanged(message = null)
        requestOptionsSoon()
    }

    /** The caret was moved; options are those behind it. */
    fun moveCaret(place: Int) {
        if (!started || state.work == Work.WRITING || place == history.caret) return
        history.moveTo(place)
        textVersion++
        show(state.copy(caret = history.caret, options = emptyList(), suggestions = emptyList()))
        requestOptionsSoon()
    }

    fun write() {
        val chosen = state.selected ?: return
        val config = configOrFail() ?: return
        val prompt = history.text.take(history.caret)
        val ending = nextStopping()
        history.begin()
        show(state.copy(options = emptyList(), suggestions = emptyList(), statistics = null, message = null))
        work(Work.WRITING, finally = { finishStep() }) {
            val pieces = Pieces(::onScreen, ::written)
            val result = loaded.write(chosen, prompt, config, { ending.asked }, pieces::add)
            val memory = residentMemory()
            onScreen { finished(result, config, memory) }
        }
    }

    /** Three ways to go on at the caret. */
    fun suggest() {
        val chosen = state.selected ?: return
        val config = configOrFail() ?: return
        val prompt = history.text.take(history.caret)
        val version = textVersion
        val ending = nextStopping()
        show(state.copy(suggestions = emptyList()))
        work(Work.SUGGESTING) {
            loaded.suggest(chosen, prompt, config, SUGGESTIONS, { ending.asked }) { text ->
                onScreen { if (version == textVersion) show(state.copy(suggestions = state.suggestions + text)) }
            }
        }
    }

    /** How each word of the text was expected. */
    fun read() {
        val chosen = state.selected ?: return
        val text = history.text
        if (state.work != null || text.isBlank() || state.reading?.of == text) return
        work(Work.READING) {
            val reading = loaded.read(chosen, text)
            onScreen { if (history.text == text) show(state.copy(reading = reading)) }
        }
    }

    fun take(text: String) {
        if (state.work != null || text.isEmpty()) return
        history.begin()
        history.extend(text)
        textChanged(message = null)
        requestOptions()
    }

    fun undo() = step { history.undo() }

    fun redo() = step { history.redo() }

    private fun step(change: () -> Unit) {
        if (state.work != null) return
        change()
        textChanged(message = null)
        requestOptions()
    }

    /** Keeps everything in the state file, and returns it for the instance state; null before there is any. */
    fun save(): SavedState? {
        if (!started || closed) return null
        val saved =
            SavedState(++revision, history.text, history.earlier, state.settings, defaults, wantedFolder, history.later, history.caret)
        keeper.execute { stateFile.write(saved) }
        savedAt = System.nanoTime()
        return saved
    }

    private fun configOrFail(): GenerationConfig? {
        if (state.work != null) return null
        var config: GenerationConfig? = null
        attempt { config = state.settings.config() }?.let { fail(it) }
        return config
    }

    override fun packageLoaded() = requestOptions()

    private fun requestOptionsSoon() {
        val version = textVersion
        device.onScreenLater(TYPING_PAUSE) { if (version == textVersion) requestOptions() }
    }

    private fun requestOptions() {
        val chosen = state.selected
        val prompt = history.text.take(history.caret)
        if (state.work == Work.WRITING || chosen == null || prompt.isEmpty()) return
        val version = textVersion
        compute {
            if (version != textVersion || !loaded.has(chosen)) return@compute // newer ones wait behind
            val problem = attempt {
                val options = loaded.next(chosen, prompt, OPTIONS)
                onScreen { if (version == textVersion && state.work != Work.WRITING) show(state.copy(options = options)) }
            }
            if (problem != null) onScreen { if (version == textVersion) fail(problem) }
        }
    }

    /** [piece] is new text that a model has written. */
    private fun written(piece: String) {
        history.extend(piece)
        textChanged(state.message)
        if (System.nanoTime() - savedAt > SAVE_EVERY) save()
    }

    private fun finished(result: GenerationResult, config: GenerationConfig, memory: Long) {
        val id =
            when (result.finishReason) {
                "eos" -> R.string.ended_by_model
                "cancelled" -> R.string.stopped
                "time" -> R.string.ended_by_time
                else -> if (result.ids.size != config.maxNewTokens) R.string.ended_by_context else null
            }
        show(state.copy(statistics = Statistics(result, memory), message = id?.let { Message(it, isError = false) }))
    }

    private fun finishStep() {
        history.end()
        textChanged(state.message)
        save()
        requestOptions()
    }

    private fun textChanged(message: Message?) {
        textVersion++
        val reading = state.reading?.takeIf { it.of == history.text }
        show(
            state.copy(
                text = history.text,
                caret = history.caret,
                canUndo = history.canUndo,
                canRedo = history.canRedo,
                options = emptyList(),
                suggestions = emptyList(),
                reading = reading,
                message = message,
            )
        )
    }

    private companion object {
        const val CLOSES = 30L // seconds
        const val OPTIONS = 10
        const val SUGGESTIONS = 3
        const val TYPING_PAUSE = 400L // milliseconds
        const val SAVE_EVERY = 2_000_000_000L // nanoseconds
    }
}
