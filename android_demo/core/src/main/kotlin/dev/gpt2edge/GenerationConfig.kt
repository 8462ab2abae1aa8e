package dev.gpt2edge

/**
 * Settings of one generation; names and meanings follow transformers' GenerationConfig. What is null
 * is the package's own setting (its generation_config.json) or, where it has none, the default.
 *
 * It samples if doSample says so; else if a temperature, topK, topP or seed is given here; else if
 * the package does. Otherwise, and at temperature 0, it takes the most likely token.
 *
 * maxNewTokens: 128 by default. temperature: 1 by default. topK: keep the k most likely tokens; 50 by
 * default, 0 or the vocabulary's size keeps all. topP: of those, keep the smallest set whose
 * probability reaches topP; 1 by default, 0 keeps the most likely token only. repetitionPenalty:
 * logits of tokens that are in the text already are divided by it, or multiplied where they are
 * negative (Keskar et al. 2019, section 4.1); it comes first. seed: of the random generator; the
 * result reports a fresh one. ignoreEos: go on past the end-of-text token. stopStrings: end before
 * the first of them.
 *
 * Raises GenerationException for a value out of range.
 */
data class GenerationConfig(
    val maxNewTokens: Int? = null,
    val doSample: Boolean? = null,
    val temperature: Float? = null,
    val topK: Int? = null,
    val topP: Float? = null,
    val repetitionPenalty: Float? = null,
    val seed: Long? = null,
    val ignoreEos: Boolean = false,
    val stopStrings: List<String> = emptyList(),
) {
    init {
        require(maxNewTokens == null || maxNewTokens >= 1, "maxNewTokens", maxNewTokens, "at least 1")
        require(
            temperature == null || temperature >= 0 && temperature <= Float.MAX_VALUE,
            "temperature",
            temperature,
            "0 (greedy) or more",
        )
        require(topK == null || topK >= 0, "topK", topK, "0 (off) or more")
        require(topP == null || topP >= 0 && topP <= 1, "topP", topP, "0 to 1")
        require(
            repetitionPenalty == null ||
                repetitionPenalty > 0 && repetitionPenalty <= Float.MAX_VALUE,
            "repetitionPenalty",
            repetitionPenalty,
            "greater than 0",
        )
        require(stopStrings.none { it.isEmpty() }, "stopStrings", stopStrings, "strings that are not empty")
    }

    /** What a generation with these settings does, where [defaults] are the package's. */
    internal fun over(defaults: GenerationConfig): Decoding {
        val chosen = temperature ?: defaults.temperature ?: DEFAULT_TEMPERATURE
        val asksForSampling = temperature != null || topK != null || topP != null || seed != null
        val sampling = doSample ?: if (asksForSampling) true else defaults.doSample ?: false
        return Decoding(
            samples = sampling && chosen != 0f,
            maxNewTokens = maxNewTokens ?: defaults.maxNewTokens ?: DEFAULT_MAX_NEW_TOKENS,
            temperature = chosen.asWritten(),
            topK = topK ?: defaults.topK ?: DEFAULT_TOP_K,
            topP = (topP ?: defaults.topP ?: DEFAULT_TOP_P).asWritten(),
        )
    }

    private fun require(fine: Boolean, name: String, value: Any?, expected: String) {
        if (!fine) throw GenerationException("$name is ${shown(value)}; it must be $expected")
    }

    private companion object {
        // transformers' defaults, but for the length.
        const val DEFAULT_MAX_NEW_TOKENS = 128
        const val DEFAULT_TEMPERATURE = 1f
        const val DEFAULT_TOP_K = 50
        const val DEFAULT_TOP_P = 1f
    }
}

/** What a generation does, once its own settings and the package's are put together. */
internal class Decoding(
    val samples: Boolean,
    val maxNewTokens: Int,
    val temperature: Double,
    val topK: Int,
    val topP: Double,
)

/** The decimal number that was meant: 0.8f is 0.800000012, Python's 0.8 is not. */
private fun Float.asWritten(): Double = toString().toDouble()
