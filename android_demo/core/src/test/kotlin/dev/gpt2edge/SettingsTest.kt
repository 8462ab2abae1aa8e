package dev.gpt2edge

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

/** What a caller gives in Kotlin's own types; SettingsSpecTest has what comes from JSON. */
class SettingsTest {
    @Test
    fun `settings out of range, each by its name`() {
        val wrong =
            listOf<Pair<String, () -> Unit>>(
                "maxNewTokens is 0" to { GenerationConfig(maxNewTokens = 0) },
                "minNewTokens is -1" to { GenerationConfig(minNewTokens = -1) },
                "temperature is -1.0" to { GenerationConfig(temperature = -1f) },
                "temperature is NaN" to { GenerationConfig(temperature = Float.NaN) },
                "temperature is Infinity" to { GenerationConfig(temperature = Float.POSITIVE_INFINITY) },
                "topK is -1" to { GenerationConfig(topK = -1) },
                "topP is -0.1" to { GenerationConfig(topP = -0.1f) },
                "topP is 1.01" to { GenerationConfig(topP = 1.01f) },
                "minP is 1.5" to { GenerationConfig(minP = 1.5f) },
                "typicalP is 0.0" to { GenerationConfig(typicalP = 0f) },
                "repetitionPenalty is 0.0" to { GenerationConfig(repetitionPenalty = 0f) },
                "presencePenalty is NaN" to { GenerationConfig(presencePenalty = Float.NaN) },
                "frequencyPenalty is -Infinity" to { GenerationConfig(frequencyPenalty = Float.NEGATIVE_INFINITY) },
                "noRepeatNgramSize is -2" to { GenerationConfig(noRepeatNgramSize = -2) },
                "badWordsIds is a list of 2" to { GenerationConfig(badWordsIds = listOf(listOf(1), emptyList())) },
                "sequenceBias is an object" to { GenerationConfig(sequenceBias = mapOf(emptyList<Int>() to 1f)) },
                "sequenceBias is an object" to { GenerationConfig(sequenceBias = mapOf(listOf(1) to Float.NaN)) },
                "logitBias is an object" to { GenerationConfig(logitBias = mapOf(1 to Float.POSITIVE_INFINITY)) },
                "logitBias is an object" to { GenerationConfig(logitBias = mapOf(-1 to 1f)) },
                "suppressTokens is a list of 1" to { GenerationConfig(suppressTokens = listOf(-1)) },
                "beginSuppressTokens is a list of 1" to { GenerationConfig(beginSuppressTokens = listOf(-1)) },
                "eosTokenId is a list of 2" to { GenerationConfig(eosTokenId = listOf(3, -1)) },
                "stopStrings is a list of 1" to { GenerationConfig(stopStrings = listOf("")) },
                "maxTime is 0.0" to { GenerationConfig(maxTime = 0f) },
                "contextOverflow is 'wrap'" to { GenerationConfig(contextOverflow = "wrap") },
                "keep is -1" to { GenerationConfig(keep = -1) },
                "topLogprobs is -1" to { GenerationConfig(topLogprobs = -1) },
            )
        for ((expected, make) in wrong) {
            assertContains(failure<GenerationException> { make() }, "$expected; it must be ")
        }
    }

    @Test
    fun `a bias may be minus infinity, which forbids a token`() {
        val config = GenerationConfig(logitBias = mapOf(1 to Float.NEGATIVE_INFINITY))
        val logits = floatArrayOf(1f, 2f, 0f)
        val processors = makeProcessors(Decoding(config, GenerationConfig()), emptySet(), 1, 3)
        processors.single().process(IntList().apply { add(0) }, logits)
        assertEquals(listOf(1f, Float.NEGATIVE_INFINITY, 0f), logits.toList())
    }

    @Test
    fun `decimal numbers are those that were written`() {
        val decoding = Decoding(GenerationConfig(temperature = 0.7f, minP = 0.1f), GenerationConfig())
        assertEquals(listOf(0.7, 0.1), listOf(decoding.temperature, decoding.minP))
    }
}
