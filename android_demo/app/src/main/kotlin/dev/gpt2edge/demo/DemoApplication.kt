package dev.gpt2edge.demo

import android.app.Application
import android.system.Os
import java.io.File

/** Holds the model, which outlives activities: a text goes on while the screen turns or is left. */
class DemoApplication : Application() {
    private var model: WritingModel? = null
    private var leaving: WritingModel? = null

    override fun onCreate() {
        super.onCreate()
        Os.setenv("ORT_DISABLE_TELEMETRY", "1", true) // read when ONNX Runtime starts
    }

    /** The model that is there; a new one, which goes on from [saved], where there is none. */
    fun model(saved: () -> SavedState?): WritingModel = model ?: newModel(saved()).also {
        model = it
        it.start()
    }

    /** The model while there is one. */
    fun current(): WritingModel? = model

    /** The screen is gone for good: the model goes too. */
    fun forgetModel() {
        model?.close()
        leaving = model ?: leaving
        model = null
    }

    /**
     * The process ends in an orderly way, as it does off the device: ONNX Runtime's library is unloaded then,
     * and a thread that still computes in it would end the process before its time. Android itself never
     * calls this: it kills.
     */
    override fun onTerminate() {
        forgetModel()
        val ended = leaving?.awaitClosed(ENDS) ?: true
        leaving = null
        super.onTerminate()
        check(ended) { "the model still computes $ENDS s after it was closed" }
    }

    private fun newModel(saved: SavedState?) =
        WritingModel(
            AndroidDevice(this),
            PackageStore(file("files/$PACKAGES"), { getExternalFilesDir(PACKAGES) }),
            StateFile(file("files/state")),
            { bundledPackage(assets) },
            saved,
            getString(R.string.first_text),
            leaving.also { leaving = null },
        )

    /** By its name alone: Context.getDataDir() looks whether it is there, and this is the screen's thread. */
    private fun file(path: String) = File(applicationInfo.dataDir, path)

    private companion object {
        const val PACKAGES = "packages"
        const val ENDS = 60L // seconds
    }
}
