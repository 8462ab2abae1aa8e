package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class ThreadsTest {
    @TempDir lateinit var system: File

    private fun core(number: Int, file: String, value: String) {
        val path = File(system, "cpu$number/$file")
        path.parentFile!!.mkdirs()
        path.writeText("$value\n")
    }

    private fun frequencies(vararg khz: Int) =
        khz.forEachIndexed { number, value -> core(number, "cpufreq/cpuinfo_max_freq", "$value") }

    @Test
    fun `little cores are left out`() {
        frequencies(1_800_000, 1_800_000, 1_800_000, 1_800_000, 2_420_000, 2_420_000, 2_420_000, 2_840_000)
        assertEquals(4, Threads.bigCores(system, 8))
    }

    @Test
    fun `cores that are all alike are all big`() {
        frequencies(2_000_000, 2_000_000, 2_000_000, 2_000_000)
        assertEquals(4, Threads.bigCores(system, 4))
    }

    @Test
    fun `the kernel's capacity comes before frequency`() {
        // Two clusters of fast cores, as phones without little ones have them.
        frequencies(3_530_000, 3_530_000, 3_530_000, 3_530_000, 3_530_000, 3_530_000, 4_320_000, 4_320_000)
        repeat(6) { core(it, "cpu_capacity", "836") }
        repeat(2) { core(6 + it, "cpu_capacity", "1024") }
        assertEquals(8, Threads.bigCores(system, 8))
    }

    @Test
    fun `a small little cluster at nearly the same frequency`() {
        frequencies(2_000_000, 2_000_000, 2_200_000, 2_200_000)
        listOf("380", "380", "1024", "1024").forEachIndexed { number, value ->
            core(number, "cpu_capacity", value)
        }
        assertEquals(2, Threads.bigCores(system, 4))
    }

    @Test
    fun `where nothing can be read`() {
        File(system, "cpufreq").mkdirs()
        File(system, "cpuidle").mkdirs()
        core(0, "cpufreq/cpuinfo_max_freq", "no number")
        assertEquals(4, Threads.bigCores(system, 16))
        assertEquals(2, Threads.bigCores(system, 2))
        assertEquals(1, Threads.bigCores(File(system, "missing"), 1))
    }

    @Test
    fun `this machine has at least one`() {
        assertTrue(Threads.bigCores() in 1..Runtime.getRuntime().availableProcessors())
    }

    @Test
    fun `a number of threads that no device has is refused before any is started`() {
        for (threads in listOf(-1, 1025, Int.MAX_VALUE)) {
            val message =
                failure<GenerationException> { Generator.load(TestData.packageFolder("int4"), threads).close() }
            assertContains(message, "threads is $threads")
        }
    }
}
