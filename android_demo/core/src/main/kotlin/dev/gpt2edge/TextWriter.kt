package dev.gpt2edge

/** Ids to text as it becomes certain: whole characters, and nothing of a stop string. */
internal class TextWriter(
    private val detokenizer: Detokenizer?,
    stopStrings: List<String>,
    include: Boolean = false,
) {
    private val stops = StopStrings(stopStrings, include)

    /** Whether a stop string has ended the text. */
    val stopped: Boolean
        get() = stops.found

    /** The text that became certain with this token. */
    fun push(id: Int): String = if (detokenizer == null) "" else stops.push(detokenizer.push(id))

    /** The rest of the text, of which no more tokens come. */
    fun finish(): String {
        if (detokenizer == null || stopped) return ""
        val rest = stops.push(detokenizer.finish())
        return rest + stops.finish()
    }
}
