package dev.gpt2edge

import java.io.File

private const val GENERATIONS = 5 // as in bench_decode.py

/** Prints the tokens per second at which the JVM decodes; core/bench.sh compares it with Python's. */
fun main(arguments: Array<String>) {
    val prompt = IntArray(128) { 7 * it + 1 }
    val config = GenerationConfig(maxNewTokens = 128, ignoreEos = true)
    Generator.load(File(arguments[0]), threads = arguments[1].toInt()).use { generator ->
        generator.streamIds(prompt, config)
        val rates = List(GENERATIONS) { generator.streamIds(prompt, config).decodeTokensPerSecond }
        println(String.format(java.util.Locale.ROOT, "%.3f", rates.sorted()[GENERATIONS / 2]))
    }
}
