package dev.gpt2edge

import java.io.File
import java.util.concurrent.TimeUnit
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

/** A process that ends while threads compute, in ExitProbe.kt, has the exit status that it asked for. */
class ProcessEndTest {
    @TempDir lateinit var logs: File

    @TestFactory
    fun `exit in the middle of a step`(): List<DynamicTest> = ends("exit", 7)

    @TestFactory
    fun `main returns in the middle of a step`(): List<DynamicTest> = ends("return", 0)

    @TestFactory
    fun `exit with a hook that closes the generator`(): List<DynamicTest> = ends("close", 7)

    private fun ends(how: String, status: Int) =
        listOf(0, 3, 11).map { milliseconds ->
            dynamicTest("$milliseconds ms later") {
                val options = listOf("-Xmx64m", "-XX:ErrorFile=$logs/crash.log")
                val process =
                    javaProcess("ExitProbeKt", options, TestData.packageFolder("int4").path, how, "$milliseconds")
                        .redirectOutput(File(logs, "output")) // a JVM that crashes says so there
                        .start()
                try {
                    assertTrue(process.waitFor(2, TimeUnit.MINUTES), "it does not end")
                } finally {
                    process.destroyForcibly()
                }
                assertEquals(status, process.exitValue(), File(logs, "output").readText())
            }
        }
}
