package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest

/** A test for each of the cases under [key] of spec/[file].json. */
internal fun specCases(file: String, key: String, test: (Map<String, Any?>) -> Unit): List<DynamicTest> {
    val cases = TestData.spec(file)[key].list().map { it.members() }
    assertTrue(cases.isNotEmpty())
    return cases.mapIndexed { index, case ->
        dynamicTest(case["name"] as String? ?: "$index: ${toJson(case).take(80)}") { test(case) }
    }
}

/** The settings that a spec file gives in Python's names; GenerationException for one that cannot be. */
internal fun configOf(settings: Map<String, Any?>): GenerationConfig {
    assertTrue(settings.keys.all { name -> SettingRules.all.any { it.name == name } }, "${settings.keys}")
    fun <T : Any> of(rule: Rule<T>): T? = rule.read(settings) { outOfRange(it) }
    return GenerationConfig(
        maxNewTokens = of(SettingRules.maxNewTokens),
        minNewTokens = of(SettingRules.minNewTokens),
        doSample = of(SettingRules.doSample),
        temperature = of(SettingRules.temperature),
        topK = of(SettingRules.topK),
        topP = of(SettingRules.topP),
        minP = of(SettingRules.minP),
        typicalP = of(SettingRules.typicalP),
        seed = of(SettingRules.seed),
        repetitionPenalty = of(SettingRules.repetitionPenalty),
        presencePenalty = of(SettingRules.presencePenalty),
        frequencyPenalty = of(SettingRules.frequencyPenalty),
        noRepeatNgramSize = of(SettingRules.noRepeatNgramSize),
        badWordsIds = of(SettingRules.badWordsIds),
        sequenceBias = of(SettingRules.sequenceBias),
        logitBias = of(SettingRules.logitBias),
        suppressTokens = of(SettingRules.suppressTokens),
        beginSuppressTokens = of(SettingRules.beginSuppressTokens),
        eosTokenId = of(SettingRules.eosTokenId),
        ignoreEos = of(SettingRules.ignoreEos) ?: false,
        stopStrings = of(SettingRules.stopStrings).orEmpty(),
        includeStopStr = of(SettingRules.includeStopStr) ?: false,
        maxTime = of(SettingRules.maxTime),
        contextOverflow = of(SettingRules.contextOverflow) ?: "stop",
        keep = of(SettingRules.keep) ?: 0,
        logprobs = of(SettingRules.logprobs) ?: false,
        topLogprobs = of(SettingRules.topLogprobs) ?: 0,
    )
}

internal fun outOfRange(message: String) = GenerationException(message, Problem.OutOfRange("a setting", ""))

/** What [settings] come to in a package that has no settings of its own. */
internal fun decodingOf(settings: Map<String, Any?>) = Decoding(configOf(settings), GenerationConfig())

/** Kotlin's name of a setting. */
internal fun camelCase(name: String) = Regex("_(.)").replace(name) { it.groupValues[1].uppercase() }

/** The byte-level tokenizer of a spec file's "vocabulary" and "special", by way of a file in [folder]. */
internal fun specTokenizer(spec: Map<String, Any?>, folder: File): Tokenizer {
    val vocabulary = spec["vocabulary"].list().map { it as String }
    val added =
        spec["special"].ints().map { id ->
            val flags = listOf("single_word", "lstrip", "rstrip", "normalized").associateWith { false }
            mapOf("id" to id, "content" to vocabulary[id], "special" to true) + flags
        }
    val byteLevel =
        mapOf("type" to "ByteLevel", "add_prefix_space" to false, "trim_offsets" to true, "use_regex" to true)
    val content =
        mapOf(
            "version" to "1.0",
            "added_tokens" to added,
            "normalizer" to null,
            "pre_tokenizer" to byteLevel,
            "post_processor" to null,
            "decoder" to byteLevel,
            "model" to
                mapOf(
                    "type" to "BPE",
                    "vocab" to vocabulary.withIndex().associate { (id, token) -> token to id },
                    "merges" to emptyList<String>(),
                ),
        )
    return Tokenizer.read(File(folder, "tokenizer.json").apply { writeText(toJson(content)) })
}
