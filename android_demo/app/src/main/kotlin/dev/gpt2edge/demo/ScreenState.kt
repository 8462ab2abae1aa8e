package dev.gpt2edge.demo

import dev.gpt2edge.GenerationResult
import dev.gpt2edge.NextToken
import dev.gpt2edge.ScoredToken

/** What keeps the application busy; writing, suggesting and importing can be stopped. */
enum class Work { LOADING, WRITING, SUGGESTING, READING, TESTING, IMPORTING, DELETING }

/** One next word; a token that is only part of a character can be shown but not taken. */
data class Option(val text: String, val probability: Double) {
    constructor(token: NextToken) : this(token.text, token.probability)

    val canTake: Boolean
        get() = text.isNotEmpty() && REPLACEMENT !in text

    /** Spaces and line breaks as signs, as otherwise nothing would be seen of them. */
    val label: String
        get() = text.replace("\n", "⏎").replace("\t", "⇥").let { if (it.isBlank()) it.replace(' ', '␣') else it }

    private companion object {
        const val REPLACEMENT = '\uFFFD'
    }
}

/** A word of a text that was read, and how it was expected: null for the first, which nothing precedes. */
data class ReadWord(val text: String, val surprise: Double?, val probability: Double?, val rank: Int?) {
    constructor(
        token: ScoredToken
    ) : this(token.text, token.logprob?.let { -it / Math.log(2.0) }, token.logprob?.let { Math.exp(it) }, token.rank)

    /** 0 for what was expected to 4 for a great surprise. */
    val level: Int
        get() = if (surprise == null) 0 else STEPS.count { surprise > it }

    private companion object {
        val STEPS = listOf(2.0, 5.0, 8.0, 11.0) // bits
    }
}

/** A text that was read word by word. left: how many tokens at its beginning did not fit the context. */
data class Reading(val of: String, val words: List<ReadWord>, val left: Int) {
    /** Of the words that were predicted; null where none was. */
    val perplexity: Double?
        get() = words.mapNotNull { it.surprise }.takeIf { it.isNotEmpty() }?.let { Math.pow(2.0, it.average()) }
}

/** Figures of the last writing. */
data class Statistics(
    val tokens: Int,
    val tokensPerSecond: Double,
    val timeToFirstTokenSeconds: Double,
    val memoryBytes: Long,
) {
    constructor(
        result: GenerationResult,
        memoryBytes: Long,
    ) : this(
        result.ids.size,
        result.decodeTokensPerSecond,
        result.timeToFirstTokenSeconds,
        memoryBytes,
    )
}

/** Everything that the screen shows, at one moment. percent: of the import that is going on. */
data class ScreenState(
    val text: String,
    val caret: Int = text.length,
    val work: Work? = null,
    val percent: Int? = null,
    val message: Message? = null,
    val options: List<Option> = emptyList(),
    val suggestions: List<String> = emptyList(),
    val reading: Reading? = null,
    val statistics: Statistics? = null,
    val packages: List<InstalledPackage> = emptyList(),
    val selected: InstalledPackage? = null,
    val pushFolder: String? = null,
    val canUndo: Boolean = false,
    val canRedo: Boolean = false,
    val settings: Settings = Settings(),
) {
    val canWrite: Boolean
        get() = work == null && selected != null

    val canStop: Boolean
        get() = work == Work.WRITING || work == Work.SUGGESTING || work == Work.IMPORTING
}
