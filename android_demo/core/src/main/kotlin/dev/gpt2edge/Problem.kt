package dev.gpt2edge

import java.io.File

/**
 * What an error is about, for applications that word it themselves: `when (error.problem)` over this
 * family knows every case. The error's message says the same in English, with more detail.
 */
sealed class Problem {
    // A package: on its folder, its files, and what this version can run.
    data class NoPackage(val folder: File) : Problem()

    data class FileMissing(val file: File) : Problem()

    /** Cut off, changed, contradicting another file, or not what it claims to be. */
    data class FileDamaged(val file: File) : Problem()

    data class FileUnreadable(val file: File) : Problem()

    /** Written by a later version of gpt2-edge than this one can read. */
    data class NewerPackage(val file: File) : Problem()

    data class OtherFlavour(val flavour: String) : Problem()

    data class OtherTokenizer(val file: File) : Problem()

    data class OlderOnnxRuntime(val needed: String, val found: String) : Problem()

    /** ONNX Runtime cannot load or run the graph. */
    data class GraphFailed(val file: File) : Problem()

    /** The model gave NaN or infinity. */
    data class NotNumbers(val file: File) : Problem()

    // Memory.
    data class TooLarge(val neededBytes: Long, val freeBytes: Long) : Problem()

    data object OutOfMemory : Problem()

    // A call.
    data object NoPrompt : Problem()

    data class PromptTooLong(val tokens: Int, val contextLength: Int) : Problem()

    /** Scoring predicts tokens from those before them: [tokens] are too few. */
    data class TooShort(val tokens: Int) : Problem()

    data class UnknownToken(val id: Int, val vocabSize: Int) : Problem()

    data object NoTokenizer : Problem()

    /** The package has no token that could stand before a text. */
    data object NoBeginning : Problem()

    /** [name] as in Kotlin: of a setting, or of a parameter. */
    data class OutOfRange(val name: String, val value: String) : Problem()

    /** Settings that rule each other out leave no token. */
    data object EveryTokenForbidden : Problem()

    data object CacheInUse : Problem()

    /** The cache was made by another generator, or was closed. */
    data object OtherCache : Problem()

    /** The generator was closed, or the process ends. */
    data object Closed : Problem()
}
