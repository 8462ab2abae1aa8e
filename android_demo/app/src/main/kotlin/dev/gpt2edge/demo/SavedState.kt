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
) {
    fun encode(): String {
        val properties = Properties()
        properties["revision"] = revision.toString()
        properties["text"] = text
        earlier.forEachIndexed { index, step -> properties["earlier.$index"] = step }
        put(properties, "", settings)
        put(properties, DEFAULTS, defaults)
        packageFolder?.let { properties["package"] = it }
        return StringWriter().also { properties.store(it, null) }.toString()
    }

    private fun put(properties: Properties, prefix: String, settings: Settings) {
        properties[prefix + "temperature"] = settings.temperature
        properties[prefix + "topK"] = settings.topK
        properties[prefix + "seed"] = settings.seed
        properties[prefix + "length"] = settings.length
        properties[prefix + "repetitionPenalty"] = settings.repetitionPenalty
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
            fun settings(prefix: String): Settings? {
                return Settings(
                    value(prefix + "temperature") ?: return null,
                    value(prefix + "topK") ?: return null,
                    value(prefix + "seed") ?: return null,
                    value(prefix + "length") ?: return null,
                    value(prefix + "repetitionPenalty").orEmpty(), // earlier versions had none
                )
            }
            return SavedState(
                value("revision")?.toLongOrNull() ?: return null,
                value("text") ?: return null,
                generateSequence(0) { it + 1 }.map { value("earlier.$it") }.takeWhile { it != null }
                    .filterNotNull().toList(),
                settings("") ?: return null,
                settings(DEFAULTS) ?: Settings(),
                value("package"),
            )
        }

        /** The later of two, either of which may be missing. */
        fun newer(one: SavedState?, other: SavedState?): SavedState? =
            listOfNotNull(one, other).maxByOrNull { it.revision }
    }
}

/** Keeps a [SavedState] in one file, always whole: written beside it and renamed. */
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
            beside.writeText(state.encode())
            beside.renameTo(file)
        } catch (error: IOException) {
            false
        }
    }
}
