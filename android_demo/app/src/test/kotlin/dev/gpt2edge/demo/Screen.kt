package dev.gpt2edge.demo

import android.app.ActivityManager
import android.content.Context
import android.os.Bundle
import android.os.Looper
import android.os.Parcel
import android.view.View
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import java.io.File
import java.util.concurrent.TimeUnit
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController

/** The application as its user sees it: what is on the screen, and what fingers do. */
class Screen(savedState: Bundle? = null) {
    init {
        if (freeMemory == 0L) freeMemory = 4_000_000_000 // Robolectric's device has none at first
    }

    val controller: ActivityController<MainActivity> =
        Robolectric.buildActivity(MainActivity::class.java).apply {
            if (savedState == null) setup() else setup(savedState)
        }
    val activity: MainActivity
        get() = controller.get()

    val text: String
        get() = field(R.id.text).text.toString()

    val message: String
        get() = shown(R.id.message)

    val statistics: String
        get() = shown(R.id.statistics)

    /** Rows of the page of next words. */
    val options: List<View>
        get() = children(R.id.options)

    val suggestions: List<TextView>
        get() = children(R.id.suggestions).map { it as TextView }

    val packages: List<String>
        get() = children(R.id.packages).map { it.label() }

    val selected: String?
        get() = children(R.id.packages).firstOrNull { it.isSelected }?.label()

    fun row(label: String): View =
        children(R.id.packages).firstOrNull { it.label() == label } ?: error("no package $label in $packages")

    private fun View.label() = findViewById<TextView>(R.id.package_name).text.toString()

    private fun children(id: Int): List<View> = view<LinearLayout>(id).run { (0 until childCount).map { getChildAt(it) } }

    fun <T : View> view(id: Int): T = activity.findViewById(id)

    fun field(id: Int): EditText = view(id)

    fun isEnabled(id: Int): Boolean = view<View>(id).isEnabled

    fun press(id: Int) {
        check(isEnabled(id)) { "button ${activity.resources.getResourceEntryName(id)} is disabled: $message" }
        view<View>(id).performClick()
    }

    /** Types over the whole field. */
    fun type(id: Int, content: String) {
        field(id).setText(content)
        field(id).setSelection(field(id).length())
    }

    fun choose(label: String) {
        row(label).performClick()
        idle()
    }

    /** As after adb: the activity comes back and finds a package more. */
    fun refresh(label: String) {
        controller.pause().resume()
        until("$label listed") { label in packages }
    }

    /** Greedy by default: then a text depends on nothing but its beginning. */
    fun settings(
        temperature: String = "0",
        topK: String = "",
        topP: String = "",
        seed: String = "",
        length: String,
        repetitionPenalty: String = "",
    ) {
        type(R.id.temperature, temperature)
        type(R.id.top_k, topK)
        type(R.id.top_p, topP)
        type(R.id.seed, seed)
        type(R.id.length, length)
        type(R.id.repetition_penalty, repetitionPenalty)
    }

    /** Until nothing is going on; options are computed after that. */
    fun untilReady(): Screen = until("ready to write") { model().state.canWrite }

    fun untilOptions(): Screen = until("options shown") { options.isNotEmpty() }

    fun untilMessage(part: String): Screen = until("message with '$part'") { part in message }

    fun until(what: String, condition: () -> Boolean): Screen {
        val deadline = System.nanoTime() + HANGS
        while (true) {
            idle()
            if (condition()) return this
            check(System.nanoTime() < deadline) { "not $what; message: '$message', text: '$text'" }
            Thread.sleep(1)
            shadowOf(Looper.getMainLooper()).idleFor(1, TimeUnit.MILLISECONDS) // its clock stands still by itself
        }
    }

    /** The press that stops what is written: the button has become Stop. */
    fun stop() {
        check(writes) { "there is nothing to stop" }
        press(R.id.write)
    }

    val writes: Boolean
        get() = view<TextView>(R.id.write).text == activity.getString(R.string.stop)

    fun write(): Screen {
        press(R.id.write)
        return untilReady()
    }

    /**
     * What is left when Android ends the process in the background: the instance state, as bytes, and
     * files. Returns the instance state; a new [Screen] is the application started again.
     */
    fun die(): Bundle {
        val state = Bundle()
        controller.pause().stop().saveInstanceState(state)
        val model = model()
        application().forgetModel() // a dead process computes no more; this saves nothing
        check(model.awaitClosed(60))
        idle()
        val parcel = Parcel.obtain()
        parcel.writeBundle(state)
        parcel.setDataPosition(0)
        return parcel.readBundle(MainActivity::class.java.classLoader)!!.also { parcel.recycle() }
    }

    fun model(): WritingModel = checkNotNull(application().current())

    private fun application() = activity.application as DemoApplication

    private fun shown(id: Int): String =
        view<TextView>(id).run { if (visibility == View.VISIBLE) text.toString() else "" }

    companion object {
        private const val HANGS = 120_000_000_000L // ns

        fun idle() = shadowOf(Looper.getMainLooper()).idle()

        /** Of the device, in bytes. */
        var freeMemory: Long
            get() = ActivityManager.MemoryInfo().also { activities().getMemoryInfo(it) }.availMem
            set(bytes) = shadowOf(activities()).setMemoryInfo(ActivityManager.MemoryInfo().also { it.availMem = bytes })

        private fun activities() =
            RuntimeEnvironment.getApplication().getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager

        /** Where packages are on the device. */
        fun ownPackages(screen: Screen) = File(screen.activity.filesDir, "packages")

        fun pushedPackages(screen: Screen): File = screen.activity.getExternalFilesDir("packages")!!
    }
}
