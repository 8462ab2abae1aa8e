package dev.gpt2edge.demo

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** Packages pushed by adb that cannot be used: a message on the screen, and the application goes on. */
@RunWith(DemoRunner::class)
class DamagedPackageTest {
    @Test
    fun `a pushed package is found and writes`() {
        val screen = pushed { }
        assertEquals("", screen.message)
        screen.settings(length = "5")
        screen.write()
        assertTrue(screen.text.length > "It was".length)
    }

    @Test
    fun `a wrong hash`() = says("pushed/model.onnx is damaged") { Packages.flipByte(File(it, "model.onnx")) }

    @Test
    fun `a missing file`() = says("pushed/tokenizer.json is missing") { File(it, "tokenizer.json").delete() }

    @Test
    fun `a file that was cut off`() =
        says("pushed/model.onnx is damaged") { File(it, "model.onnx").run { writeBytes(readBytes().copyOf(1000)) } }

    @Test
    fun `no manifest`() = says("has no manifest.json") { File(it, "manifest.json").delete() }

    @Test
    fun `a newer format`() =
        says("is of a newer version") { Packages.editManifest(it, "\"format_version\": 1", "\"format_version\": 99") }

    @Test
    fun `an operator that this ONNX Runtime lacks`() =
        says("pushed/model.onnx cannot be run") { Packages.unknownOperator(it) }

    @Test
    fun `a package too large for the free memory`() {
        val screen = Screen().untilReady()
        Packages.copy(File(Screen.ownPackages(screen), "sample-int4"), File(Screen.pushedPackages(screen), "pushed"))
        screen.refresh("pushed (adb)")
        Screen.freeMemory = 1_000_000
        screen.choose("pushed (adb)")
        screen.untilReady()
        assertTrue(screen.message, "MB of memory" in screen.message && "1 MB are free" in screen.message)
    }

    @Test
    fun `a self-test that differs says what differs`() {
        val screen = pushed { Packages.editManifest(it, "\"expected_ids\": [", "\"expected_ids\": [0, ") }
        screen.press(R.id.self_test)
        screen.untilReady()
        assertTrue(screen.message, screen.message.startsWith("Self-test failed"))
        val detail = screen.view<android.widget.TextView>(R.id.error_detail).text
        assertTrue("$detail", detail.startsWith("greedy tokens are ["))
    }

    private fun says(message: String, damage: (File) -> Unit) {
        val screen = pushed(damage)
        assertTrue("'${screen.message}' says '$message'", message in screen.message)
        screen.write()
        assertTrue("also on Write: '${screen.message}'", message in screen.message)
        assertEquals("It was", screen.text)
        screen.choose("sample-int4")
        screen.untilReady()
        assertEquals("", screen.message)
        screen.settings(length = "5")
        screen.write()
        assertTrue("goes on with another package", screen.text.length > "It was".length)
    }

    /** A copy of the sample, pushed and chosen. */
    private fun pushed(damage: (File) -> Unit): Screen {
        val screen = Screen().untilReady()
        damage(Packages.copy(File(Screen.ownPackages(screen), "sample-int4"), File(Screen.pushedPackages(screen), "pushed")))
        screen.refresh("pushed (adb)")
        screen.choose("pushed (adb)")
        return screen.untilReady()
    }
}
