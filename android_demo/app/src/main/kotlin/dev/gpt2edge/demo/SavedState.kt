package dev.gpt2edge.demo

import java.io.File
import java.io.IOException
import java.io.StringReader
import java.io.StringWriter
import java.util.Properties

/**
 * What outlives the process. Android keeps it in the instance state, and [StateFile] on disk, for a
 * text too long for that and for an application that was swiped away; [revision] says which is newer.
 *
 * defaults: the settings that the user had not changed, by which another package knows its own.
 */
data class SavedState(
    val revision: Long,
    val text: String,
    val earlier: List<String>,
    val settings: Settings,
    val defaults: Settings,
    val packageFolder: String?,
    val later: List<String> = emptyList(),
    val caret: Int = text.length,
) {
    fun encode(): String {
        val properties = Properties()
        properties["revision"] = revision.toString()
        properties["text"] = text
        properties["caret"] = caret.toString()
        earlier.forEachIndexed { index, step -> properties["earlier.$index"] = step }
        later.forEachIndexed { index, step -> properties["later.$index"] = step }
        for ((name, value) in settings.named()) properties[name] = value
        for ((name, value) in defaults.named()) properties[DEFAULTS + name] = value
        packageFolder?.let { properties["package"] = it }
        return StringWriter().also { properties.store(it, null) }.toString()
    }

    companion object {
        private const val DEFAULTS = "default."

        /** Null for what is none, as a file that was cut off. */
        fun decode(encoded: String): SavedState? {
            val properties = Properties()
            try {
                properties.load(StringReader(encoded))
            } catch (error: IllegalArgumentException) {
                return null // a \u without its digits
            }
            fun value(name: String): String? = properties.getProperty(name)
            fun steps(name: String) =
                generateSequence(0) { it + 1 }.map { value("$name.$it") }.takeWhile { it != null }.filterNotNull().toList()
            val text = value("text") ?: return null
            return SavedState(
                value("revision")?.toLongOrNull() ?: return null,
                text,
                steps("earlier"),
                Settings.of { value(it) } ?: return null,
                Settings.of { value(DEFAULTS + it) } ?: Settings(),
                value("package"),
                steps("later"),
                value("caret")?.toIntOrNull() ?: text.length,
            )
        }

        /** The later of two, either of which may be missing. */
        fun newer(one: SavedState?, other: SavedState?): SavedState? =
            listOfNotNull(one, other).maxByOrNull { it.revision }
    }
}

/** Keeps a [SavedState] in one file, always whole: written beside it and renamed. Not for the screen's thread. */
class StateFile(private val file: File) {
    fun read(): SavedState? =
        try {
            SavedState.decode(file.readText())
        } catch (error: IOException) {
            null // the first start
        }

    /** Whether it could be written; without room on the disk there still is the instance state. */
    fun write(state: SavedState): Boolean {
        val beside = File(file.path + ".new")
        return try {
            file.parentFile?.mkdirs()
            beside.writeText(state.encode())
            beside.renameTo(file)
        } catch (error: IOException) {
            false
        }
    }
}
