package dev.gpt2edge

/**
 * Settings of one generation; names and meanings follow transformers' GenerationConfig.
 *
 * It samples if a temperature, topK, topP or seed is given (with topK 50 where none is), and takes
 * the most likely token otherwise or at temperature 0.
 *
 * topK: keep the k most likely tokens; the vocabulary's size or more keeps all. topP: of those, keep
 * the smallest set whose probability reaches topP. repetitionPenalty: logits of tokens that are in
 * the text already are divided by it, or multiplied where they are negative (Keskar et al. 2019,
 * section 4.1); it comes first. seed: of the random generator; the result reports a fresh one.
 * ignoreEos: go on past the end-of-text token. stopStrings: end before the first of them.
 *
 * Raises GenerationException for a value out of range.
 */
data class GenerationConfig(
    val maxNewTokens: Int = 100,
    val temperature: Float? = null,
    val topK: Int? = null,
    val topP: Float? = null,
    val repetitionPenalty: Float? = null,
    val seed: Long? = null,
    val ignoreEos: Boolean = false,
    val stopStrings: List<String> = emptyList(),
) {
    init {
        require(maxNewTokens >= 1, "maxNewTokens", maxNewTokens, "at least 1")
        require(
            temperature == null || temperature >= 0 && temperature <= Float.MAX_VALUE,
            "temperature",
            temperature,
            "0 (greedy) or more",
        )
        require(topK == null || topK >= 1, "topK", topK, "at least 1")
        require(topP == null || topP > 0 && topP <= 1, "topP", topP, "greater than 0 and at most 1")
        require(
            repetitionPenalty == null ||
                repetitionPenalty > 0 && repetitionPenalty <= Float.MAX_VALUE,
            "repetitionPenalty",
            repetitionPenalty,
            "greater than 0",
        )
        require(stopStrings.none { it.isEmpty() }, "stopStrings", stopStrings, "strings that are not empty")
    }

    /** Whether tokens are drawn at random, given all of the above. */
    val samples: Boolean
        get() =
            temperature != 0f &&
                (temperature != null || topK != null || topP != null || seed != null)

    private fun require(fine: Boolean, name: String, value: Any?, expected: String) {
        if (!fine) throw GenerationException("$name is $value; it must be $expected")
    }
}
