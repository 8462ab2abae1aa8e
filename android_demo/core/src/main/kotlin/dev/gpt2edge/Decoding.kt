package dev.gpt2edge

/**
 * What a generation does in the end: the settings of [own], those of [theirs] (the package's) where
 * it leaves them open, else the defaults.
 */
internal class Decoding(private val own: GenerationConfig, private val theirs: GenerationConfig) {
    val samples = samples()
    val temperature = of(SettingRules.temperature).asWritten()
    val topK = of(SettingRules.topK)
    val topP = of(SettingRules.topP).asWritten()
    val minP = of(SettingRules.minP).asWritten()
    val typicalP = of(SettingRules.typicalP).asWritten()
    val seed = own.seed

    val repetitionPenalty = of(SettingRules.repetitionPenalty)
    val presencePenalty = of(SettingRules.presencePenalty)
    val frequencyPenalty = of(SettingRules.frequencyPenalty)
    val noRepeatNgramSize = of(SettingRules.noRepeatNgramSize)
    val badWordsIds = of(SettingRules.badWordsIds)
    val sequenceBias = of(SettingRules.sequenceBias)
    val logitBias = of(SettingRules.logitBias)
    val suppressTokens = of(SettingRules.suppressTokens)
    val beginSuppressTokens = of(SettingRules.beginSuppressTokens)

    val maxNewTokens = of(SettingRules.maxNewTokens)
    val minNewTokens = of(SettingRules.minNewTokens)
    val maxTime = given(SettingRules.maxTime)
    val eosTokenId = own.eosTokenId
    val ignoreEos = own.ignoreEos
    val stopStrings = own.stopStrings
    val includeStopStr = own.includeStopStr
    val slides = own.contextOverflow == "slide"
    val keep = own.keep

    val logprobs = own.logprobs
    val topLogprobs = own.topLogprobs

    /** The tokens that end a text of a package that has [packageIds] for that. */
    fun eosIds(packageIds: Set<Int>): Set<Int> = if (ignoreEos) emptySet() else eosTokenId?.toSet() ?: packageIds

    /** GenerationException for a setting with a token that a vocabulary of [size] has not. */
    fun requireTokens(size: Int) {
        fun check(name: String, ids: Iterable<Int>) {
            val wrong = ids.firstOrNull { it >= size } ?: return
            throw GenerationException(
                "$name has token id $wrong, which is outside the vocabulary of $size",
                Problem.UnknownToken(wrong, size),
            )
        }
        check("sequenceBias", sequenceBias.keys.flatten())
        check("logitBias", logitBias.keys)
        check("badWordsIds", badWordsIds.flatten())
        check("suppressTokens", suppressTokens)
        check("beginSuppressTokens", beginSuppressTokens)
        check("eosTokenId", eosTokenId.orEmpty())
    }

    private fun samples(): Boolean {
        val asked = SettingRules.drawing.any { it.get(own) != null }
        val wanted = own.doSample ?: (asked || theirs.doSample ?: false)
        return wanted && of(SettingRules.temperature) != 0f
    }

    private fun <T : Any> given(rule: Rule<T>): T? = rule.get(own) ?: rule.get(theirs)

    private fun <T : Any> of(rule: Rule<T>): T = given(rule) ?: checkNotNull(rule.default)

    /** The decimal number that was meant: 0.8f is 0.800000012, Python's 0.8 is not. */
    private fun Float.asWritten(): Double = toString().toDouble()
}
