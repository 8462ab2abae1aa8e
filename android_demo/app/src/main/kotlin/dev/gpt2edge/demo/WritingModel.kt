package dev.gpt2edge.demo

import dev.gpt2edge.GPT2EdgeException
import dev.gpt2edge.GenerationConfig
import dev.gpt2edge.GenerationResult
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/**
 * What the screen does, without Android: holds the text, the package that is loaded and what is going
 * on. Its methods belong to the screen's thread and return at once; one worker thread loads, writes,
 * tests and imports, one after the other. It outlives rotations: [screen] is whoever shows it now.
 */
class WritingModel(
    private val device: Device,
    private val store: PackageStore,
    private val stateFile: StateFile,
    private val bundled: BundledPackage?,
    restored: SavedState? = null,
    firstText: String = "",
    private val worker: ExecutorService = Executors.newSingleThreadExecutor(),
) {
    /** Gets every state from now on. */
    var screen: ((ScreenState) -> Unit)? = null
        set(value) {
            field = value
            value?.invoke(state)
        }

    var state: ScreenState
        private set

    private val history: TextHistory
    private var revision: Long
    private var wantedFolder: String?
    private var defaults: Settings // what stands on the screen where the user has changed nothing
    private var savedAt = System.nanoTime()

    private val loaded = LoadedPackage(device) // of the worker thread

    /** Asked to stop: the writing or copying that was started last. */
    private class Stopping {
        @Volatile var asked = false
    }

    private var stopping = Stopping()
    private var closed = false
    @Volatile private var textVersion = 0
    private var latestWork = 0

    init {
        val saved = SavedState.newer(restored, stateFile.read())
        history = TextHistory(saved?.text ?: firstText, saved?.earlier.orEmpty())
        revision = saved?.revision ?: 0
        wantedFolder = saved?.packageFolder
        defaults = saved?.defaults ?: Settings()
        state = ScreenState(history.text, canUndo = history.canUndo, settings = saved?.settings ?: Settings())
    }

    /** Installs the bundled package if need be, lists all, loads the last used one. */
    fun start() =
        work(Work.LOADING) {
            store.clean()
            // A full disk must not keep the packages that are there from being used.
            val problem = bundled?.let { attempt { store.installBundled(it.source, it.manifest) } }
            val packages = store.list()
            onScreen {
                show(state.copy(packages = packages))
                val selected =
                    packages.firstOrNull { it.folder.path == wantedFolder }
                        ?: packages.firstOrNull { it.folder.name == bundled?.source?.name }
                        ?: packages.firstOrNull()
                if (selected != null) select(selected)
                if (problem != null) fail(problem)
                if (selected == null && problem == null) fail("there is no package on this device: import one")
            }
        }

    /** Packages may have come by adb meanwhile. */
    fun refreshPackages() {
        if (state.work != null) return
        val packages = store.list()
        if (packages != state.packages) show(state.copy(packages = packages))
    }

    fun select(chosen: InstalledPackage) {
        if (chosen == state.selected) return
        wantedFolder = chosen.folder.path
        show(state.copy(selected = chosen, statistics = null, options = emptyList()))
        work(Work.LOADING) {
            val own = Settings.of(loaded.load(chosen).generationConfig)
            onScreen {
                change(state.settings.where(defaults, own))
                defaults = own
                requestOptions()
            }
        }
    }

    fun type(edited: String) {
        if (state.work == Work.WRITING || edited == history.text) return
        history.type(edited)
        textChanged(message = null)
        val version = textVersion
        device.onScreenLater(TYPING_PAUSE) { if (version == textVersion) requestOptions() }
    }

    fun change(settings: Settings) {
        if (settings != state.settings) show(state.copy(settings = settings))
    }

    fun write() {
        val chosen = state.selected ?: return
        if (state.work != null) return
        val config =
            try {
                state.settings.config()
            } catch (error: DemoException) {
                return fail(error.message.orEmpty())
            } catch (error: GPT2EdgeException) {
                return fail(error.message.orEmpty())
            }
        val prompt = history.text
        val ending = Stopping().also { stopping = it }
        history.begin()
        show(state.copy(options = emptyList(), statistics = null, message = null))
        work(Work.WRITING, finally = { finishStep() }) {
            val pieces = Pieces(::onScreen, ::written)
            val result = loaded.load(chosen).stream(prompt, config, { ending.asked }) { pieces.add(it) }
            val memory = residentMemory()
            onScreen { finished(result, config, memory) }
        }
    }

    /** Ends the writing or copying that is going on. */
    fun stop() {
        stopping.asked = true
    }

    fun take(option: Option) {
        if (state.work != null || !option.canTake) return
        history.begin()
        history.extend(option.text)
        textChanged(message = null)
        requestOptions()
    }

    fun undo() {
        if (state.work != null || !history.canUndo) return
        history.undo()
        textChanged(message = null)
        requestOptions()
    }

    fun selfTest() {
        val chosen = state.selected ?: return
        if (state.work != null) return
        work(Work.TESTING) {
            val report = loaded.load(chosen).selfTest()
            val verdict = if (report.passed) "Self-test passed: " else "Self-test failed: "
            onScreen { show(state.copy(message = Message(verdict + report.message, !report.passed))) }
        }
    }

    /** Waits for what is going on, which after a restart may be loading; writing is stopped. */
    fun import(source: PackageSource) {
        stop()
        val ending = Stopping().also { stopping = it }
        work(Work.IMPORTING) {
            val installed = store.install(source) { ending.asked }
            onScreen {
                show(state.copy(packages = store.list()))
                select(installed)
            }
        }
    }

    /** An error that arose outside, as in the file picker. */
    fun fail(message: String) = show(state.copy(message = Message(message, isError = true)))

    /** Keeps everything in the state file, and returns it for the instance state. */
    fun save(): SavedState {
        val saved = SavedState(++revision, history.text, history.earlier, state.settings, defaults, wantedFolder)
        stateFile.write(saved)
        savedAt = System.nanoTime()
        return saved
    }

    /** The screen is gone for good: what runs is stopped, and the package's memory given back. */
    fun close() {
        screen = null
        stop()
        closed = true
        worker.execute { loaded.unload() }
        worker.shutdown()
    }

    private fun requestOptions() {
        val chosen = state.selected
        val prompt = history.text
        if (closed || state.work == Work.WRITING || chosen == null || prompt.isEmpty()) return
        val version = textVersion
        worker.execute {
            if (version != textVersion) return@execute // newer ones wait behind
            val generator = loaded.of(chosen) ?: return@execute
            val problem = attempt {
                val options = generator.nextTokens(prompt, OPTIONS).map { Option(it) }
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
        val message = endOf(result, config)?.let { Message(it, isError = false) }
        show(state.copy(statistics = Statistics(result, memory), message = message))
    }

    private fun finishStep() {
        history.end()
        textChanged(state.message)
        save()
        requestOptions()
    }

    private fun textChanged(message: Message?) {
        textVersion++
        show(
            state.copy(
                text = history.text,
                canUndo = history.canUndo,
                options = emptyList(),
                message = message,
            )
        )
    }

    private fun work(kind: Work, finally: () -> Unit = {}, task: () -> Unit) {
        if (closed) return
        val number = ++latestWork
        show(state.copy(work = kind, message = null))
        worker.execute {
            val problem = attempt(task)
            onScreen {
                if (number == latestWork) show(state.copy(work = null)) // nothing else waits
                if (problem != null) fail(problem)
                finally()
            }
        }
    }

    private fun onScreen(action: () -> Unit) = device.onScreen { if (!closed) action() }

    private fun show(next: ScreenState) {
        state = next
        screen?.invoke(next)
    }

    private companion object {
        const val OPTIONS = 8
        const val TYPING_PAUSE = 400L // milliseconds
        const val SAVE_EVERY = 2_000_000_000L // nanoseconds
    }
}

/** The package that came with the application, and its manifest to tell whether it is installed. */
class BundledPackage(val source: PackageSource, val manifest: ByteArray)
