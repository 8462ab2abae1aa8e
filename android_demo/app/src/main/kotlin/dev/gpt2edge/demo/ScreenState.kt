package dev.gpt2edge.demo

import dev.gpt2edge.GenerationResult
import dev.gpt2edge.NextToken
import java.io.File
import java.util.Locale

/** What keeps the application busy; writing and importing can be stopped. */
enum class Work { LOADING, WRITING, TESTING, IMPORTING }

/** A line for the user; [isError] decides its colour only. */
data class Message(val text: String, val isError: Boolean)

/** A folder with a package, or with what claims to be one: opening it says what is wrong. */
data class InstalledPackage(val folder: File, val label: String)

/** One next word; a token that is only part of a character can be shown but not taken. */
data class Option(val text: String, val label: String, val description: String, val canTake: Boolean) {
    constructor(
        token: NextToken
    ) : this(
        token.text,
        "‘${token.text.replace("\n", "⏎")}’ ${percent(token.probability)}",
        "${token.text.trim().ifEmpty { token.text.length.toString() + " blank" }}, ${percent(token.probability)}",
        token.text.isNotEmpty() && REPLACEMENT !in token.text,
    )

    private companion object {
        const val REPLACEMENT = '\uFFFD'

        fun percent(probability: Double) = String.format(Locale.ROOT, "%.1f%%", 100 * probability)
    }
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

/** Everything that the screen shows, at one moment. */
data class ScreenState(
    val text: String,
    val work: Work? = null,
    val message: Message? = null,
    val options: List<Option> = emptyList(),
    val statistics: Statistics? = null,
    val packages: List<InstalledPackage> = emptyList(),
    val selected: InstalledPackage? = null,
    val canUndo: Boolean = false,
    val settings: Settings = Settings(),
) {
    val canWrite: Boolean
        get() = work == null && selected != null

    val canStop: Boolean
        get() = work == Work.WRITING || work == Work.IMPORTING
}
