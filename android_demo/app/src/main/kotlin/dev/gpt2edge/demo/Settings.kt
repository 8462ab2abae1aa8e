package dev.gpt2edge.demo

import dev.gpt2edge.GenerationConfig

/** The settings as they stand on the screen, empty or wrong values included. */
data class Settings(
    val temperature: String = "0.8",
    val topK: String = "40",
    val topP: String = "",
    val seed: String = "",
    val length: String = "$LENGTH",
    val repetitionPenalty: String = "",
) {
    /** Each by the name under which it is kept. */
    fun named(): Map<String, String> =
        mapOf(
            "temperature" to temperature,
            "topK" to topK,
            "topP" to topP,
            "seed" to seed,
            "length" to length,
            "repetitionPenalty" to repetitionPenalty,
        )

    /** These, with those that are still as [before] had them replaced by what [after] has. */
    fun where(before: Settings, after: Settings): Settings {
        val old = before.named()
        val new = after.named()
        val now = named()
        return checkNotNull(of { name -> if (now[name] == old[name]) new[name] else now[name] })
    }

    /**
     * What they ask of the generator. Empty: temperature 0 (always the likeliest token), every token
     * a candidate, another seed each time, 128 tokens, no penalty. A text goes on past the context.
     * WrongSetting for what is no number.
     */
    fun config(): GenerationConfig =
        GenerationConfig(
            maxNewTokens = length.number("maxNewTokens") { it.toIntOrNull() } ?: LENGTH,
            temperature = temperature.number("temperature") { it.toFloatOrNull() } ?: 0f,
            topK = topK.number("topK") { it.toIntOrNull() } ?: 0,
            topP = topP.number("topP") { it.toFloatOrNull() } ?: 1f,
            seed = seed.number("seed") { it.toLongOrNull() },
            repetitionPenalty = repetitionPenalty.number("repetitionPenalty") { it.toFloatOrNull() } ?: 1f,
            contextOverflow = "slide",
        )

    private fun <T> String.number(name: String, parse: (String) -> T?): T? {
        val written = trim()
        if (written.isEmpty()) return null
        return parse(written.replace(',', '.')) ?: throw Refused(settingWords(name, written))
    }

    companion object {
        private const val LENGTH = 128

        /** Of what [value] gives for each name; null without the oldest ones. Versions before had fewer. */
        fun of(value: (String) -> String?): Settings? {
            return Settings(
                value("temperature") ?: return null,
                value("topK") ?: return null,
                value("topP").orEmpty(),
                value("seed") ?: return null,
                value("length") ?: return null,
                value("repetitionPenalty").orEmpty(),
            )
        }

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
                topP = own.topP?.plain() ?: screen.topP,
                length = own.maxNewTokens?.toString() ?: screen.length,
                repetitionPenalty = own.repetitionPenalty?.plain() ?: screen.repetitionPenalty,
            )
        }

        /** 1 and not 1.0, as people write it. */
        private fun Float.plain(): String = toString().removeSuffix(".0")
    }
}
