package dev.gpt2edge

/**
 * Base of every error that this library raises on purpose. The message is one printable line that
 * names the file or value, what was expected and what to do: an application may show it as it stands.
 */
open class GPT2EdgeException(message: String, cause: Throwable? = null) :
    Exception(oneLine(message), cause)

/** The package is missing, damaged, or of a format that this version does not read. */
class PackageException(message: String, cause: Throwable? = null) :
    GPT2EdgeException(message, cause)

/** The prompt does not fit the model's context. */
class ContextOverflowException(message: String) : GPT2EdgeException(message)

/** A generation setting or a prompt is out of its range. */
class GenerationException(message: String) : GPT2EdgeException(message)

/** The package needs more memory than there is. */
class MemoryException(message: String, cause: Throwable? = null) : GPT2EdgeException(message, cause)

/** The first line of what went wrong, for a message of one line. */
internal fun Throwable.firstLine(): String {
    val text = message?.lineSequence()?.firstOrNull { it.isNotBlank() }
    return text?.trim() ?: javaClass.simpleName
}
