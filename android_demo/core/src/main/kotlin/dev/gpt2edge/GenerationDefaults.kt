package dev.gpt2edge

import java.io.File

/**
 * The settings in generation_config.json, of which a package that has one makes its defaults. Those
 * that not every runtime has do not count; null is not set, but of top_k, where it means off. As in
 * transformers, a temperature, top_k or the like alone does not make it sample.
 *
 * sha256: of the file. Raises PackageException for a value out of its range.
 */
internal fun readGenerationDefaults(file: File, sha256: String?): GenerationConfig {
    val content =
        try {
            file.readJson(JSON_LIMIT, sha256) { readValue() }
        } catch (error: UnreadableException) {
            throw PackageException(
                "$file cannot be read as JSON (${error.message}); copy the package again",
                Problem.FileDamaged(file),
                error,
            )
        }
    val members = content as? Map<*, *>
            ?: throw PackageException("$file holds no JSON object; copy the package again", Problem.FileDamaged(file))
    fun <T : Any> of(rule: Rule<T>): T? =
        rule.read(members) { problem ->
            PackageException("$file: $problem; export the package again", Problem.FileDamaged(file))
        }
    val found =
        GenerationConfig(
            maxNewTokens = of(SettingRules.maxNewTokens),
            minNewTokens = of(SettingRules.minNewTokens),
            doSample = of(SettingRules.doSample),
            temperature = of(SettingRules.temperature),
            topK = of(SettingRules.topK),
            topP = of(SettingRules.topP),
            minP = of(SettingRules.minP),
            typicalP = of(SettingRules.typicalP),
            repetitionPenalty = of(SettingRules.repetitionPenalty),
            presencePenalty = of(SettingRules.presencePenalty),
            frequencyPenalty = of(SettingRules.frequencyPenalty),
            noRepeatNgramSize = of(SettingRules.noRepeatNgramSize),
            badWordsIds = of(SettingRules.badWordsIds),
            sequenceBias = of(SettingRules.sequenceBias),
            logitBias = of(SettingRules.logitBias),
            suppressTokens = of(SettingRules.suppressTokens),
            beginSuppressTokens = of(SettingRules.beginSuppressTokens),
            maxTime = of(SettingRules.maxTime),
        )
    val draws = SettingRules.drawing.any { it.get(found) != null }
    return if (draws && found.doSample == null) found.copy(doSample = false) else found
}
