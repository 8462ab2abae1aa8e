package dev.gpt2edge.demo

import dev.gpt2edge.GenerationConfig

/** The settings as they stand on the screen, empty or wrong values included. */
data class Settings(
    val temperature: String = "0.8",
    val topK: String = "40",
    val seed: String = "",
    val length: String = "$LENGTH",
    val repetitionPenalty: String = "",
) {
    /** These, with those that are still as [before] had them replaced by what [after] has. */
    fun where(before: Settings, after: Settings) =
        Settings(
            if (temperature == before.temperature) after.temperature else temperature,
            if (topK == before.topK) after.topK else topK,
            if (seed == before.seed) after.seed else seed,
            if (length == before.length) after.length else length,
            if (repetitionPenalty == before.repetitionPenalty) after.repetitionPenalty else repetitionPenalty,
        )

    /**
     * What they ask of the generator. Empty: temperature 0 (always the likeliest token), every token
     * a candidate, another seed each time, 128 tokens, no penalty. DemoException for what is no
     * number.
     */
    fun config(): GenerationConfig {
        val wantedTemperature = temperature.number("temperature", "a number, 0 for the likeliest word") { it.toFloatOrNull() }
        return GenerationConfig(
            maxNewTokens = length.number("length", "a whole number of tokens") { it.toIntOrNull() } ?: LENGTH,
            temperature = wantedTemperature ?: 0f,
            topK = topK.number("top-k", "a whole number, or nothing for all words") { it.toIntOrNull() } ?: 0,
            seed = seed.number("seed", "a whole number, or nothing") { it.toLongOrNull() },
            repetitionPenalty =
                repetitionPenalty.number("repetition penalty", "a number above 0, 1 for none") { it.toFloatOrNull() }
                    ?: 1f,
        )
    }

    private fun <T> String.number(name: String, expected: String, parse: (String) -> T?): T? {
        val written = trim()
        if (written.isEmpty()) return null
        return parse(written) ?: throw DemoException("$name is '$written'; it must be $expected")
    }

    companion object {
        private const val LENGTH = 128

        /**
         * What stands on the screen for a package whose own settings are [own], where the user has
         * changed nothing: those of the package; the application's, which sample, where it has none.
         */
        fun of(own: GenerationConfig): Settings {
            val screen = Settings()
            val samples = own.doSample == true
            return Settings(
                temperature =
                    if (own.doSample == false) "0"
                    else own.temperature?.plain() ?: if (samples) "1" else screen.temperature,
                topK = own.topK?.let { if (it == 0) "" else "$it" } ?: if (samples) "50" else screen.topK,
                length = own.maxNewTokens?.toString() ?: screen.length,
                repetitionPenalty = own.repetitionPenalty?.plain() ?: screen.repetitionPenalty,
            )
        }

        /** 1 and not 1.0, as people write it. */
        private fun Float.plain(): String = toString().removeSuffix(".0")
    }
}
