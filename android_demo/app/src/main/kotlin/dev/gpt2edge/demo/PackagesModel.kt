package dev.gpt2edge.demo

/** What is done with packages: chosen and loaded, tested, imported, deleted. */
abstract class PackagesModel(device: Device, protected val store: PackageStore, text: String) : ScreenModel(device, text) {
    protected val loaded = LoadedPackage(device) // of the worker thread
    protected var wantedFolder: String? = null
    protected var defaults = Settings() // what stands on the screen where the user has changed nothing

    /** A package is ready, its settings on the screen. */
    protected abstract fun packageLoaded()

    override fun freeMemory() = loaded.unload()

    /** Packages may have come by adb meanwhile. */
    fun refreshPackages() {
        if (state.work != null) return
        compute {
            val packages = store.list()
            onScreen { if (packages != state.packages) show(state.copy(packages = packages)) }
        }
    }

    fun select(chosen: InstalledPackage) {
        if (chosen == state.selected) return
        wantedFolder = chosen.folder.path
        show(state.copy(selected = chosen, statistics = null, options = emptyList(), suggestions = emptyList(), reading = null))
        work(Work.LOADING) {
            val own = Settings.of(loaded.load(chosen).generationConfig)
            onScreen {
                change(state.settings.where(defaults, own))
                defaults = own
                packageLoaded()
            }
        }
    }

    fun change(settings: Settings) {
        if (settings != state.settings) show(state.copy(settings = settings))
    }

    fun selfTest() {
        val chosen = state.selected ?: return
        if (state.work != null) return
        work(Work.TESTING) {
            val report = loaded.load(chosen).selfTest()
            val id = if (report.passed) R.string.self_test_passed else R.string.self_test_failed
            onScreen { show(state.copy(message = Message(id, isError = !report.passed, detail = report.message))) }
        }
    }

    /** Waits for what is going on, which after a restart may be loading; writing is stopped. */
    fun import(source: PackageSource): Unit = import { source }

    /** open: asks another application what it has, which may take long and fail. */
    fun import(open: () -> PackageSource) {
        stop()
        val ending = nextStopping()
        work(Work.IMPORTING, finally = { show(state.copy(percent = null)) }) {
            var percent = -1
            val installed =
                store.install(opened(open), { ending.asked }) { done ->
                    val now = (100 * done).toInt()
                    if (now != percent) onScreen { show(state.copy(percent = now)) }
                    percent = now
                }
            val packages = store.list()
            onScreen {
                show(state.copy(packages = packages))
                select(packages.firstOrNull { it.folder == installed.folder } ?: installed)
            }
        }
    }

    /** A provider of documents is another application: its errors are no reason to end ours. */
    private fun opened(open: () -> PackageSource): PackageSource =
        try {
            open()
        } catch (error: RuntimeException) {
            throw Refused(Message(R.string.cannot_read, detail = error.message))
        }

    fun delete(chosen: InstalledPackage) {
        if (state.work != null || !chosen.canDelete) return
        work(Work.DELETING) {
            if (loaded.has(chosen)) loaded.unload()
            store.delete(chosen)
            val packages = store.list()
            onScreen {
                val wasSelected = state.selected == chosen
                show(state.copy(packages = packages, selected = state.selected.takeUnless { wasSelected }))
                val next = packages.firstOrNull()
                if (wasSelected && next != null) select(next)
            }
        }
    }
}

/** The package that came with the application, and its manifest to tell whether it is installed. */
class BundledPackage(val source: PackageSource, val manifest: ByteArray)
