package dev.gpt2edge

/**
 * Settings of one generation; names and meanings follow transformers' GenerationConfig where it has
 * them. What is null is the package's own setting (its generation_config.json) or, where it has none,
 * the default, here in parentheses.
 *
 * How tokens are chosen. It samples if doSample says so; else if a temperature, topK, topP, minP,
 * typicalP or seed is given here; else if the package does. Otherwise, and at temperature 0, it takes
 * the most likely token.
 * - temperature: divides the logits (1); 0 is greedy.
 * - topK: keep the k most likely tokens (50); 0 keeps all.
 * - topP: of those, the smallest set whose probability reaches topP (1); 0 keeps one token.
 * - minP: of those, tokens at least minP times as likely as the most likely one (0).
 * - typicalP: of those, the ones whose surprise is nearest to the expected one, up to this
 *   probability (1).
 * - seed: of the random generator; the result reports a fresh one.
 *
 * What may be written.
 * - repetitionPenalty: divides logits of tokens that are in prompt or text, or multiplies them where
 *   they are negative (1: none).
 * - presencePenalty, frequencyPenalty: OpenAI's, of tokens of the new text (0).
 * - noRepeatNgramSize: no n tokens twice in prompt and text (0: off).
 * - badWordsIds: sequences of tokens that are never completed.
 * - sequenceBias, logitBias: what is added to the logits of tokens; of a sequence, to its last one
 *   behind those before it.
 * - suppressTokens, beginSuppressTokens: tokens that are never written, or not at first.
 *
 * When it ends.
 * - maxNewTokens (128), minNewTokens (0), maxTime (seconds).
 * - eosTokenId: tokens that end a text, in place of the package's; ignoreEos: none does.
 * - stopStrings: end before the first of these strings; includeStopStr: behind it.
 * - contextOverflow: once the context is full, "stop" ends with finishReason "length"; "slide"
 *   forgets the older half of the window behind its first [keep] (0) tokens and goes on. It takes
 *   longer prompts, too: the first [keep] and as many of the last as fit.
 *
 * What comes back.
 * - logprobs: the log-probability of each token (natural logarithm, over the whole vocabulary, before
 *   all of the above); topLogprobs: and of the n most likely ones (0).
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
    val minNewTokens: Int? = null,
    val minP: Float? = null,
    val typicalP: Float? = null,
    val presencePenalty: Float? = null,
    val frequencyPenalty: Float? = null,
    val noRepeatNgramSize: Int? = null,
    val badWordsIds: List<List<Int>>? = null,
    val sequenceBias: Map<List<Int>, Float>? = null,
    val logitBias: Map<Int, Float>? = null,
    val suppressTokens: List<Int>? = null,
    val beginSuppressTokens: List<Int>? = null,
    val eosTokenId: List<Int>? = null,
    val includeStopStr: Boolean = false,
    val maxTime: Float? = null,
    val contextOverflow: String = "stop",
    val keep: Int = 0,
    val logprobs: Boolean = false,
    val topLogprobs: Int = 0,
) {
    init {
        for (rule in SettingRules.all) rule.check(this)
    }
}
