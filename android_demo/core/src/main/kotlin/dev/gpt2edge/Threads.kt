package dev.gpt2edge

import java.io.File
import java.io.IOException

/**
 * How many threads to compute with: one for each big core. A matrix product is cut into equal
 * parts, and the slowest core finishes last: little cores make it slower, not faster.
 */
object Threads {
    private const val FALLBACK = 4
    private const val BIG = 0.5 // of the largest core's capacity
    private val CPU = Regex("cpu[0-9]+")

    /** The number of big cores; at most four where the system does not tell. */
    fun bigCores(): Int =
        bigCores(File("/sys/devices/system/cpu"), Runtime.getRuntime().availableProcessors())

    internal fun bigCores(system: File, processors: Int): Int {
        val cores = system.listFiles { file -> CPU.matches(file.name) }.orEmpty().toList()
        val count = byCapacity(cores) ?: byFrequency(cores) ?: minOf(FALLBACK, processors)
        return count.coerceIn(1, maxOf(processors, 1))
    }

    /** The kernel's own measure of how much a core gets done, 1024 for the fastest (arm64). */
    private fun byCapacity(cores: List<File>): Int? {
        val capacities = cores.mapNotNull { File(it, "cpu_capacity").number() }
        val largest = capacities.maxOrNull() ?: return null
        return capacities.count { it >= BIG * largest }
    }

    /** Every cluster but the slowest; all where there is one. */
    private fun byFrequency(cores: List<File>): Int? {
        val frequencies = cores.mapNotNull { File(it, "cpufreq/cpuinfo_max_freq").number() }
        val slowest = frequencies.minOrNull() ?: return null
        val faster = frequencies.count { it > slowest }
        return if (faster > 0) faster else frequencies.size
    }

    private fun File.number(): Long? =
        try {
            readText().trim().toLongOrNull()
        } catch (error: IOException) {
            null // not there, or not for applications to read
        }
}
