package dev.gpt2edge.demo

import dev.gpt2edge.GPT2EdgeException
import dev.gpt2edge.GenerationConfig

/** The settings as they stand on the screen, empty or wrong values included. */
data class Settings(
    val temperature: String = "0.8",
    val topK: String = "40",
    val seed: String = "",
    val length: String = "100",
) {
    /**
     * What they ask of the generator. Empty: temperature 0 (always the likeliest token), every token
     * a candidate, another seed each time, 100 tokens. GPT2EdgeException for what is no number.
     */
    fun config(): GenerationConfig {
        val wantedTemperature = temperature.number("temperature", "a number, 0 for the likeliest word") { it.toFloatOrNull() }
        return GenerationConfig(
            maxNewTokens = length.number("length", "a whole number of tokens") { it.toIntOrNull() } ?: LENGTH,
            temperature = wantedTemperature ?: 0f,
            topK = topK.number("top-k", "a whole number, or nothing for all words") { it.toIntOrNull() } ?: ALL,
            seed = seed.number("seed", "a whole number, or nothing") { it.toLongOrNull() },
        )
    }

    private fun <T> String.number(name: String, expected: String, parse: (String) -> T?): T? {
        val written = trim()
        if (written.isEmpty()) return null
        return parse(written) ?: throw GPT2EdgeException("$name is '$written'; it must be $expected")
    }

    private companion object {
        const val LENGTH = 100
        const val ALL = Int.MAX_VALUE
    }
}
