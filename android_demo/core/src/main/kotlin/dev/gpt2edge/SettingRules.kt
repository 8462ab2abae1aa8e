package dev.gpt2edge

/**
 * One setting. name: in generation_config.json. get: what a caller, or a package, gives. default:
 * where neither gives anything; null where that means something of its own. ofNull: what null stands
 * for in the file, where that is not the default.
 */
internal class Rule<T : Any>(
    val name: String,
    val get: (GenerationConfig) -> T?,
    private val kind: Kind<T>,
    val default: T?,
    private val ofNull: T? = null,
) {
    /** Kotlin's name of it. */
    val property = Regex("_(.)").replace(name) { it.groupValues[1].uppercase() }

    /** GenerationException if [config] gives it a value that is not allowed. */
    fun check(config: GenerationConfig) {
        val value = get(config)
        if (value != null && !kind.allowed(value)) {
            throw GenerationException("$property ${problem(value)}", Problem.OutOfRange(property, shown(value)))
        }
    }

    /** What the [members] of a JSON object give it, null where they do not; [wrong] makes the error. */
    fun read(members: Map<*, *>, wrong: (String) -> Exception): T? {
        val value = members[name] ?: return if (name in members) ofNull else null
        return kind.parse(value) ?: throw wrong("$name ${problem(value)}")
    }

    private fun problem(value: Any) = "is ${shown(value)}; it must be ${kind.expected}"
}

/**
 * What each setting may be, as runtime/gpt2_edge/settings.py has it; spec/settings.json holds the
 * same for every runtime.
 */
internal object SettingRules {
    private val rules = ArrayList<Rule<*>>()

    val all: List<Rule<*>>
        get() = rules

    val maxNewTokens = rule("max_new_tokens", { it.maxNewTokens }, Kinds.whole(1, "a whole number, at least 1"), 128)
    val minNewTokens = rule("min_new_tokens", { it.minNewTokens }, Kinds.whole(0, "a whole number, 0 or more"), 0)
    val doSample = rule("do_sample", { it.doSample }, Kinds.truth)
    val temperature =
        rule("temperature", { it.temperature }, Kinds.real("a number, 0 (greedy) or more") { it >= 0 }, 1f)
    val topK = rule("top_k", { it.topK }, Kinds.whole(0, "a whole number, 0 (off) or more"), 50, ofNull = 0)
    val topP = rule("top_p", { it.topP }, Kinds.share, 1f)
    val minP = rule("min_p", { it.minP }, Kinds.share, 0f)
    val typicalP =
        rule("typical_p", { it.typicalP }, Kinds.real("a number above 0, at most 1") { it > 0 && it <= 1 }, 1f)
    val seed = rule("seed", { it.seed }, Kinds.anyWhole)
    val repetitionPenalty =
        rule("repetition_penalty", { it.repetitionPenalty }, Kinds.real("a number above 0") { it > 0 }, 1f)
    val presencePenalty = rule("presence_penalty", { it.presencePenalty }, Kinds.real("a number") { true }, 0f)
    val frequencyPenalty = rule("frequency_penalty", { it.frequencyPenalty }, Kinds.real("a number") { true }, 0f)
    val noRepeatNgramSize =
        rule("no_repeat_ngram_size", { it.noRepeatNgramSize }, Kinds.whole(0, "a whole number, 0 (off) or more"), 0)
    val badWordsIds = rule("bad_words_ids", { it.badWordsIds }, Kinds.words, emptyList())
    val sequenceBias = rule("sequence_bias", { it.sequenceBias }, Kinds.sequenceBias, emptyMap())
    val logitBias = rule("logit_bias", { it.logitBias }, Kinds.logitBias, emptyMap())
    val suppressTokens = rule("suppress_tokens", { it.suppressTokens }, Kinds.ids, emptyList())
    val beginSuppressTokens = rule("begin_suppress_tokens", { it.beginSuppressTokens }, Kinds.ids, emptyList())
    val eosTokenId = rule("eos_token_id", { it.eosTokenId }, Kinds.ids)
    val ignoreEos = rule("ignore_eos", { it.ignoreEos }, Kinds.truth, false)
    val stopStrings = rule("stop_strings", { it.stopStrings }, Kinds.texts, emptyList())
    val includeStopStr = rule("include_stop_str", { it.includeStopStr }, Kinds.truth, false)
    val maxTime = rule("max_time", { it.maxTime }, Kinds.real("seconds, above 0") { it > 0 })
    val contextOverflow = rule("context_overflow", { it.contextOverflow }, Kinds.overflow, "stop")
    val keep = rule("keep", { it.keep }, Kinds.whole(0, "a whole number, 0 or more"), 0)
    val logprobs = rule("logprobs", { it.logprobs }, Kinds.truth, false)
    val topLogprobs = rule("top_logprobs", { it.topLogprobs }, Kinds.whole(0, "a whole number, 0 or more"), 0)

    /** Who gives one of these wants tokens drawn. */
    val drawing = listOf(temperature, topK, topP, minP, typicalP, seed)

    private fun <T : Any> rule(
        name: String,
        get: (GenerationConfig) -> T?,
        kind: Kind<T>,
        default: T? = null,
        ofNull: T? = null,
    ) = Rule(name, get, kind, default, ofNull).also(rules::add)
}
