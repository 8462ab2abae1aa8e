package dev.gpt2edge

import ai.onnxruntime.OrtEnvironment
import java.io.File
import kotlin.concurrent.thread

private const val MILLISECONDS = 2L

/** Prints the most memory, in bytes, that loading a package and filling its context takes (Linux). */
fun main(arguments: Array<String>) {
    OrtEnvironment.getEnvironment()
    val before = anonymousBytes()
    var peak = before
    thread(isDaemon = true) {
        while (true) {
            peak = maxOf(peak, anonymousBytes())
            Thread.sleep(MILLISECONDS)
        }
    }
    Generator.load(File(arguments[0]), verify = false).use { generator ->
        val context = generator.modelPackage.manifest.architecture.contextLength
        generator.streamIds(IntArray(context - 8) { it }, GenerationConfig(8, ignoreEos = true))
        println(maxOf(peak, anonymousBytes()) - before)
    }
}

/** What the system cannot take back: mapped files are not counted. */
private fun anonymousBytes(): Long {
    val line = File("/proc/self/status").readLines().first { it.startsWith("RssAnon:") }
    return line.filter { it.isDigit() }.toLong() * 1024
}
