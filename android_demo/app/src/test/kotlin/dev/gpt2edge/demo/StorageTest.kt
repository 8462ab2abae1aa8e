package dev.gpt2edge.demo

import android.app.Activity
import android.content.Intent
import java.io.File
import java.security.Permission
import java.util.Collections
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

/** Storage may be slow, and the screen stands still as long as its thread waits for it. */
@RunWith(DemoRunner::class)
class StorageTest {
    @get:Rule val temporary = TemporaryFolder()

    @Test
    fun `the application touches no file on the screen's thread`() {
        Documents.install()
        val files = FilesOnThread(Thread.currentThread())
        files.watch {
            val screen = Screen().untilReady().untilOptions()
            screen.type(R.id.text, "It was late")
            screen.settings(length = "5")
            screen.write()
            screen.press(R.id.undo)
            screen.press(R.id.tab_read)
            screen.until("read") { screen.model().state.reading != null && screen.model().state.work == null }
            screen.press(R.id.self_test)
            screen.untilReady()
            screen.controller.pause().resume() // looks for packages that came meanwhile
            val zip = File(temporary.root, "my model.zip")
            zip.writeBytes(Packages.zip(File(Screen.ownPackages(screen), "sample-int4")))
            screen.press(R.id.import_zip)
            val picker = shadowOf(screen.activity).nextStartedActivity
            shadowOf(screen.activity).receiveResult(picker, Activity.RESULT_OK, Intent().setData(Documents.file(zip)))
            screen.until("imported") { "my-model" in screen.packages }
            screen.untilReady()
            screen.model().delete(screen.model().state.packages.first { it.label == "my-model" })
            screen.until("deleted") { "my-model" !in screen.packages }
            screen.untilReady()
            Screen(screen.die()).untilReady()
        }
        assertTrue("other threads do, and are seen", files.elsewhere > 20)
        assertEquals(emptyList<String>(), files.touched)
    }

    /** Asked by java.io before it opens, lists, renames or deletes. It allows everything and remembers. */
    @Suppress("DEPRECATION") // Java has no other place to ask, and none at all from version 24 on
    private class FilesOnThread(private val thread: Thread) : SecurityManager() {
        val touched: MutableList<String> = Collections.synchronizedList(ArrayList<String>())
        private val storage: String = RuntimeEnvironment.getApplication().dataDir.parent!!
        @Volatile var elsewhere = 0

        fun watch(action: () -> Unit) {
            touch("$storage/itself") // loads the classes that asking takes, whose loading would ask again
            try {
                System.setSecurityManager(this)
            } catch (error: UnsupportedOperationException) {
                assumeTrue("this Java has no security managers", false)
            }
            try {
                action()
            } finally {
                System.setSecurityManager(null)
            }
        }

        override fun checkPermission(permission: Permission) = Unit

        override fun checkPermission(permission: Permission, context: Any) = Unit

        override fun checkRead(file: String) = touch(file)

        override fun checkWrite(file: String) = touch(file)

        override fun checkDelete(file: String) = touch(file)

        /** Who asked is the one of our classes that is nearest; tests may do what they like. */
        private fun touch(file: String) {
            if (!file.startsWith(storage)) return // classes and resources are Android's own affair
            val ours = Thread.currentThread().stackTrace.filter { it.className.startsWith("dev.gpt2edge.") }
            val asked = ours.firstOrNull { !it.className.startsWith(javaClass.name) } ?: return
            if (asked.className.removePrefix("dev.gpt2edge.demo.").substringBefore('$') in TESTS) return
            if (Thread.currentThread() === thread) touched.add("$file by $asked") else elsewhere++
        }
    }

    private companion object {
        val TESTS = setOf("Screen", "StorageTest", "Packages", "Documents")
    }
}
