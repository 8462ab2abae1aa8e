package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

/** spec/settings.json, which Python and the browser module run too. */
class SettingsSpecTest {
    @TempDir lateinit var temporary: File

    @TestFactory
    fun `settings, the package's and the caller's`() =
        specCases("settings", "cases") { case ->
            val caller = case["caller"].members()
            val refused = case["refused"] as String?
            if (refused == null) {
                val found = effective(Decoding(configOf(caller), ofPackage(case["package"])))
                for ((name, expected) in case["expect"].members()) {
                    assertTrue(name in found, name)
                    assertEquals(plain(expected), plain(found[name]), name)
                }
            } else if (caller.isNotEmpty()) {
                assertContains(failure<GenerationException> { configOf(caller) }, refused, "it must be")
            } else {
                val message = failure<PackageException> { ofPackage(case["package"]) }
                assertContains(message, temporary.path, refused, "it must be", "export the package again")
            }
        }

    @Test
    fun `the settings are those of the table`() {
        val names = TestData.spec("settings")["settings"].list().map { it.members()["name"] }
        assertEquals(names.toSet(), SettingRules.all.map { it.name }.toSet())
    }

    @TestFactory
    fun `the rules are the table`() =
        specCases("settings", "settings") { setting ->
            val rule = rule(setting)
            assertEquals(plain(setting["default"]), plain(rule.default))
            assertEquals(setting["draws"] == true, rule in SettingRules.drawing)
            val example = EXAMPLES.getValue(setting["type"] as String)
            val found = rule.get(ofPackage(mapOf(rule.name to example)))
            val expected = if (setting["package"] == true) example else rule.get(GenerationConfig())
            assertEquals(plain(expected), plain(found))
            assertEquals(plain(example), plain(rule.get(configOf(mapOf(rule.name to example)))))
        }

    @TestFactory
    fun `the edges of a range`() =
        specCases("settings", "settings") { setting ->
            val step = if (setting["type"] == "integer") 1L else 1e-9
            fun edge(name: String, direction: Int) {
                val at = setting[name] as Number? ?: return
                val beside =
                    if (step is Long) at.toLong() + direction * step else at.toDouble() + direction * step.toDouble()
                assertTrue(takes(setting, if (name == "above") beside else at), name)
                assertTrue(!takes(setting, if (name == "above") at else beside), name)
            }
            edge("least", -1)
            edge("above", 1)
            edge("most", 1)
            if (setting["type"] == "integer" || setting["type"] == "number") {
                if ("most" !in setting) assertTrue(takes(setting, 1_000_000L))
                if ("least" !in setting && "above" !in setting) assertTrue(takes(setting, -1_000_000L))
            }
            for (word in setting["words"]?.list().orEmpty()) assertTrue(takes(setting, word))
        }

    @TestFactory
    fun `values of other types are refused`() =
        specCases("settings", "settings") { setting ->
            for (value in OF_OTHER_TYPES.getValue(setting["type"] as String)) {
                val name = setting["name"] as String
                assertContains(failure<GenerationException> { configOf(mapOf(name to value)) }, name, "it must be")
            }
        }

    private fun takes(setting: Map<String, Any?>, value: Any?): Boolean =
        try {
            rule(setting).read(mapOf(setting["name"] to value)) { outOfRange(it) } != null
        } catch (error: GenerationException) {
            false
        }

    private fun rule(setting: Map<String, Any?>) = SettingRules.all.single { it.name == setting["name"] }

    private fun ofPackage(members: Any?): GenerationConfig {
        val file = File(temporary, "generation_config.json").apply { writeText(toJson(members)) }
        return readGenerationDefaults(file, file.sha256())
    }

    private fun effective(found: Decoding): Map<String, Any?> =
        mapOf(
            "samples" to found.samples,
            "temperature" to found.temperature,
            "top_k" to found.topK,
            "top_p" to found.topP,
            "min_p" to found.minP,
            "typical_p" to found.typicalP,
            "seed" to found.seed,
            "repetition_penalty" to found.repetitionPenalty,
            "presence_penalty" to found.presencePenalty,
            "frequency_penalty" to found.frequencyPenalty,
            "no_repeat_ngram_size" to found.noRepeatNgramSize,
            "bad_words_ids" to found.badWordsIds,
            "sequence_bias" to found.sequenceBias,
            "logit_bias" to found.logitBias,
            "suppress_tokens" to found.suppressTokens,
            "begin_suppress_tokens" to found.beginSuppressTokens,
            "max_new_tokens" to found.maxNewTokens,
            "min_new_tokens" to found.minNewTokens,
            "max_time" to found.maxTime,
            "eos_token_id" to found.eosTokenId,
            "ignore_eos" to found.ignoreEos,
            "stop_strings" to found.stopStrings,
            "include_stop_str" to found.includeStopStr,
            "context_overflow" to if (found.slides) "slide" else "stop",
            "keep" to found.keep,
            "logprobs" to found.logprobs,
            "top_logprobs" to found.topLogprobs,
        )

    /** [value] as JSON has it: numbers alike, biases as a list of pairs. */
    private fun plain(value: Any?): Any? =
        when (value) {
            is Float -> value.toString().toDouble()
            is Number -> value.toDouble()
            is List<*> -> value.map(::plain)
            is Map<*, *> -> value.map { (key, bias) -> listOf(key as? List<*> ?: listOf(key), bias).map(::plain) }
            else -> value
        }

    private companion object {
        val EXAMPLES =
            mapOf(
                "integer" to 7L,
                "number" to 0.5,
                "boolean" to true,
                "ids" to listOf(3L, 4L),
                "sequences" to listOf(listOf(3L), listOf(4L, 5L)),
                "biases" to listOf(listOf(listOf(3L), -1.5)),
                "strings" to listOf("a", "b"),
                "word" to "slide",
            )
        val OF_OTHER_TYPES =
            mapOf(
                "integer" to listOf(1.5, "1", true, listOf(1L)),
                "number" to listOf("1", true, Double.NaN, Double.POSITIVE_INFINITY, listOf(1.0)),
                "boolean" to listOf(0L, "true", listOf(true)),
                "ids" to listOf("1", -1L, 1.5, true, listOf(listOf(1L)), listOf(-1L)),
                "sequences" to listOf(5L, listOf(5L), listOf(emptyList<Long>()), listOf(listOf("a")), "a"),
                "biases" to
                    listOf(
                        5L,
                        listOf(5L),
                        listOf(listOf(1L)),
                        listOf(listOf(emptyList<Long>(), 1.0)),
                        mapOf("a" to 1.0),
                        listOf(listOf(1L, "a")),
                        listOf(listOf(1L, Double.NaN)),
                        listOf(listOf(1L, Double.POSITIVE_INFINITY)),
                    ),
                "strings" to listOf("", listOf(""), 5L, listOf(5L)),
                "word" to listOf(5L, true, "other"),
            )
    }
}
