package dev.gpt2edge.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import java.io.File
import java.io.InputStream
import java.util.concurrent.CancellationException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowAlertDialog

/** Packages that come through the file picker: whole on the device, or not there at all. */
@RunWith(DemoRunner::class)
class ImportTest {
    @get:Rule val temporary = TemporaryFolder()
    private lateinit var screen: Screen
    private lateinit var own: File
    private lateinit var sample: File

    @Before
    fun start() {
        Documents.install()
        screen = Screen().untilReady()
        own = Screen.ownPackages(screen)
        sample = File(own, "sample-int4")
    }

    @Test
    fun `a zip is imported and writes`() = imports(zipOf(Packages.zip(sample)))

    @Test
    fun `a zip with a folder around the package is imported and writes`() =
        imports(zipOf(Packages.zip(sample, prefix = "exported/")))

    @Test
    fun `a folder is imported and writes`() {
        val folder = Packages.copy(sample, temporary.newFolder("my model"))
        File(folder, "a folder inside").mkdir()
        pick(R.id.import_folder, Intent.ACTION_OPEN_DOCUMENT_TREE, Documents.folder(folder))
        screen.untilReady()
        assertImported()
    }

    @Test
    fun `a zip whose files point outside is refused`() {
        for (path in listOf("../../escaped.txt", "/escaped.txt", "inside/../../escaped.txt", "..\\escaped.txt")) {
            refuses(zipOf(Packages.zip(sample, "", path to "out".toByteArray())), "points outside")
        }
        assertFalse(File(own.parentFile, "escaped.txt").exists() || File(own, "escaped.txt").exists())
    }

    @Test
    fun `a zip that was cut off is refused`() {
        val whole = Packages.zip(sample)
        refuses(zipOf(whole.copyOf(whole.size / 2)), "was not imported: it cannot be read")
    }

    @Test
    fun `what is no zip is refused`() = refuses(zipOf("not a zip".toByteArray()), "no zip")

    @Test
    fun `a zip of something else is refused`() {
        val folder = temporary.newFolder().also { File(it, "song.txt").writeText("la") }
        refuses(zipOf(Packages.zip(folder)), "has no manifest.json")
    }

    @Test
    fun `a package with a wrong hash is refused`() {
        val damaged = Packages.copy(sample, temporary.newFolder())
        Packages.flipByte(File(damaged, "model.onnx"))
        refuses(zipOf(Packages.zip(damaged)), "my model.zip/model.onnx is damaged")
    }

    @Test
    fun `a file picker that was left without a choice changes nothing`() {
        screen.press(R.id.import_zip)
        val started = shadowOf(screen.activity).nextStartedActivity
        shadowOf(screen.activity).receiveResult(started, Activity.RESULT_CANCELED, null)
        assertEquals("", screen.message)
        assertTrue(screen.isEnabled(R.id.write))
    }

    @Test
    fun `a document that is gone is a message`() {
        pick(R.id.import_zip, Intent.ACTION_OPEN_DOCUMENT, Documents.file(File("/gone.zip")))
        screen.untilReady()
        assertTrue(screen.message, screen.message.isNotEmpty())
        assertNothingLeft()
    }

    @Test
    fun `storage that is running out is a message, and nothing is left`() {
        val source = ZipSource("big.zip", null) { zipOf(Packages.zip(sample)).inputStream() }
        val folder = temporary.newFolder()
        val error =
            assertThrows(Refused::class.java) {
                PackageStore(folder, { null }, freeSpace = { 50_000_000 }).install(source)
            }
        assertTrue("100 MB of storage" in error.words.words(screen.activity.resources))
        assertEquals(0, folder.list()!!.size)
    }

    @Test
    fun `copying that is stopped leaves nothing`() {
        val folder = temporary.newFolder()
        var asked = 0
        val source = ZipSource("big.zip", null) { zipOf(Packages.zip(sample)).inputStream() }
        assertThrows(CancellationException::class.java) { PackageStore(folder, { null }).install(source, { ++asked > 3 }) }
        assertEquals(4, asked)
        assertEquals(0, folder.list()!!.size)
    }

    @Test
    fun `Stop ends an import`() {
        val endless =
            object : PackageSource {
                override val name = "endless"
                override val done: Double? = null

                override fun forEachFile(action: (path: String, content: InputStream) -> Unit) =
                    action("manifest.json", object : InputStream() {
                        override fun read() = 32
                    })
            }
        screen.model().import(endless)
        screen.until("copying") { own.list()!!.any { it.startsWith(".partial") } }
        assertEquals(android.view.View.VISIBLE, screen.view<android.view.View>(R.id.importing).visibility)
        screen.press(R.id.cancel)
        screen.untilReady()
        assertTrue(screen.message, "stopped" in screen.message)
        assertEquals(android.view.View.GONE, screen.view<android.view.View>(R.id.importing).visibility)
        assertNothingLeft()
    }

    @Test
    fun `an import says how far it is`() {
        val bytes = Packages.zip(sample)
        val seen = ArrayList<Double>()
        PackageStore(temporary.newFolder(), { null })
            .install(ZipSource("big.zip", bytes.size.toLong()) { bytes.inputStream() }, { false }) { seen.add(it) }
        assertTrue("$seen", seen.size > 5 && seen == seen.sorted() && seen.last() in 0.9..1.0)
        val percents = ArrayList<Int>()
        screen.model().screen.let { shown ->
            screen.model().screen = { state ->
                state.percent?.let { percents.add(it) }
                shown?.invoke(state)
            }
        }
        imports(zipOf(bytes))
        assertTrue("$percents", percents.distinct().size > 2 && percents.max() <= 100)
    }

    @Test
    fun `each package says its size, its recipe and what it lost by it`() {
        fun facts(label: String) = screen.row(label).findViewById<android.widget.TextView>(R.id.package_facts).text.toString()
        val bundled = File(sample, "manifest.json").readText()
        fun figure(name: String) = Regex("\"$name\": ([0-9.]+)").find(bundled)!!.groupValues[1]
        val (perplexity, reference) = listOf("perplexity", "reference_perplexity").map { "%.1f".format(figure(it).toDouble()) }
        assertEquals("5.2 MB · int4 · perplexity $perplexity (unquantized $reference)", facts("sample-int4"))
        val measured = Packages.copy(sample, File(Screen.pushedPackages(screen), "measured"))
        Packages.editManifest(measured, "\"perplexity\": ${figure("perplexity")}", "\"perplexity\": 26.51")
        Packages.editManifest(measured, "\"reference_perplexity\": ${figure("reference_perplexity")}", "\"reference_perplexity\": 26.04")
        val unmeasured = Packages.copy(sample, File(Screen.pushedPackages(screen), "unmeasured"))
        Packages.editManifest(unmeasured, "\"quality\": ", "\"no quality\": ")
        Packages.copy(sample, File(Screen.pushedPackages(screen), "broken")).let { File(it, "manifest.json").writeText("{") }
        screen.refresh("measured (adb)")
        assertEquals("5.2 MB · int4 · perplexity 26.5 (unquantized 26.0)", facts("measured (adb)"))
        assertEquals("5.2 MB · int4", facts("unmeasured (adb)"))
        assertEquals("cannot be read", facts("broken (adb)"))
    }

    @Test
    fun `a failed import loses neither text nor undo nor the package that was there`() {
        screen.settings(length = "5")
        screen.write()
        val written = screen.text
        refuses(zipOf("not a zip".toByteArray()), "no zip")
        assertEquals(written, screen.text)
        assertEquals("sample-int4", screen.selected)
        screen.press(R.id.undo)
        assertEquals("It was", screen.text)
        screen.press(R.id.redo)
        assertEquals(written, screen.text)
        assertTrue("it writes on", screen.write().text.length > written.length)
    }

    @Test
    fun `a package is deleted, and another one takes its place`() {
        imports(zipOf(Packages.zip(sample)))
        screen.row("my-model").findViewById<android.view.View>(R.id.package_delete).performClick()
        val question = ShadowAlertDialog.getLatestAlertDialog()
        assertEquals("Delete my-model from this device?", shadowOf(question).message)
        assertTrue("nothing before it is confirmed", File(own, "my-model").exists())
        question.getButton(android.content.DialogInterface.BUTTON_POSITIVE).performClick()
        screen.untilReady()
        assertEquals(listOf("sample-int4"), screen.packages)
        assertEquals("sample-int4", screen.selected)
        assertNothingLeft()
    }

    @Test
    fun `storage is never touched on the screen's thread`() {
        val threads = HashSet<Thread>()
        val source =
            object : PackageSource {
                override val name = "slow"
                override val done: Double? = null

                override fun forEachFile(action: (path: String, content: InputStream) -> Unit) {
                    threads.add(Thread.currentThread())
                    throw java.io.IOException("slow")
                }
            }
        screen.model().import { source.also { threads.add(Thread.currentThread()) } }
        screen.until("tried") { screen.message.isNotEmpty() }
        assertFalse(Thread.currentThread() in threads)
        assertEquals(1, threads.size)
    }

    private fun zipOf(bytes: ByteArray) = File(temporary.root, "my model.zip").also { it.writeBytes(bytes) }

    private fun pick(button: Int, action: String, document: Uri) {
        screen.press(button)
        val started = shadowOf(screen.activity).nextStartedActivity
        assertEquals(action, started.action)
        shadowOf(screen.activity).receiveResult(started, Activity.RESULT_OK, Intent().setData(document))
    }

    private fun imports(zip: File) {
        pick(R.id.import_zip, Intent.ACTION_OPEN_DOCUMENT, Documents.file(zip))
        screen.untilReady()
        assertImported()
    }

    private fun assertImported() {
        assertEquals("", screen.message)
        assertEquals("my-model", screen.selected)
        assertEquals(listOf("my-model", "sample-int4"), screen.packages)
        screen.settings(length = "5")
        screen.write()
        assertTrue(screen.text.length > "It was".length)
    }

    private fun refuses(zip: File, message: String) {
        pick(R.id.import_zip, Intent.ACTION_OPEN_DOCUMENT, Documents.file(zip))
        screen.untilReady()
        assertTrue("'${screen.message}' says '$message'", message in screen.message)
        assertNothingLeft()
    }

    private fun assertNothingLeft() = assertEquals(listOf("sample-int4"), own.list()!!.toList())
}
