package dev.gpt2edge

/**
 * Base of every error that this library raises on purpose. The message is one printable line that
 * names the file or value, what was expected and what to do; an application may show it as it stands,
 * or word [problem] in its user's language.
 */
open class GPT2EdgeException
internal constructor(message: String, val problem: Problem, cause: Throwable? = null) :
    Exception(oneLine(message), cause)

/** The package is missing, damaged, or of a format that this version does not read. */
class PackageException internal constructor(message: String, problem: Problem, cause: Throwable? = null) :
    GPT2EdgeException(message, problem, cause)

/** The prompt does not fit the model's context. */
class ContextOverflowException internal constructor(message: String, problem: Problem) :
    GPT2EdgeException(message, problem)

/** A generation setting or a prompt is out of its range, or the model gave no numbers. */
class GenerationException internal constructor(message: String, problem: Problem) :
    GPT2EdgeException(message, problem)

/** The package needs more memory than there is. */
class MemoryException internal constructor(message: String, problem: Problem, cause: Throwable? = null) :
    GPT2EdgeException(message, problem, cause)

/** The first line of what went wrong, for a message of one line. */
internal fun Throwable.firstLine(): String {
    val text = message?.lineSequence()?.firstOrNull { it.isNotBlank() }
    return text?.trim() ?: javaClass.simpleName
}
