package dev.gpt2edge.demo

import android.content.res.Resources
import dev.gpt2edge.GPT2EdgeException
import dev.gpt2edge.Problem
import java.io.File
import java.io.IOException
import java.util.concurrent.CancellationException

/**
 * A line for the user, in the language of whoever shows it. detail: what happened in English, for
 * developers; [isError] decides its colour only.
 */
data class Message(val id: Int, val arguments: List<Any> = emptyList(), val isError: Boolean = true, val detail: String? = null) {
    fun words(resources: Resources): String = resources.getString(id, *arguments.toTypedArray())
}

/** What the application itself refuses. */
class Refused(val words: Message) : Exception()

/** What went wrong in [task], in words; null if nothing did. Nothing may end the application. */
internal fun attempt(task: () -> Unit): Message? =
    try {
        task()
        null
    } catch (error: Refused) {
        error.words
    } catch (error: GPT2EdgeException) {
        wordsOf(error.problem).copy(detail = error.message)
    } catch (error: OutOfMemoryError) {
        Message(R.string.problem_memory)
    } catch (error: CancellationException) {
        Message(R.string.stopped_import, isError = false)
    } catch (error: IOException) {
        Message(R.string.problem_storage, detail = error.message)
    } catch (error: Throwable) { // a native library that does not load, say
        val cause = generateSequence(error) { it.cause }.last()
        Message(R.string.problem_other, listOf(cause.javaClass.simpleName), detail = cause.message)
    }

/** The core's problems in the user's words. */
internal fun wordsOf(problem: Problem): Message =
    when (problem) {
        is Problem.NoPackage -> words(R.string.problem_no_package, problem.folder.name)
        is Problem.FileMissing -> words(R.string.problem_missing, place(problem.file))
        is Problem.FileDamaged -> words(R.string.problem_damaged, place(problem.file))
        is Problem.FileUnreadable -> words(R.string.problem_unreadable, place(problem.file))
        is Problem.NewerPackage -> words(R.string.problem_newer, place(problem.file))
        is Problem.OtherFlavour -> words(R.string.problem_flavour, problem.flavour)
        is Problem.OtherTokenizer -> words(R.string.problem_tokenizer, place(problem.file))
        is Problem.OlderOnnxRuntime -> words(R.string.problem_runtime, problem.needed)
        is Problem.GraphFailed -> words(R.string.problem_graph, place(problem.file))
        is Problem.NotNumbers -> words(R.string.problem_not_numbers, place(problem.file))
        is Problem.TooLarge -> words(R.string.problem_too_large, megabytes(problem.neededBytes), megabytes(problem.freeBytes))
        is Problem.OutOfMemory -> words(R.string.problem_memory)
        is Problem.NoPrompt -> words(R.string.problem_no_prompt)
        is Problem.PromptTooLong -> words(R.string.problem_too_long, problem.tokens, problem.contextLength)
        is Problem.TooShort -> words(R.string.problem_too_short)
        is Problem.UnknownToken -> words(R.string.problem_token)
        is Problem.NoTokenizer -> words(R.string.problem_no_tokenizer)
        is Problem.NoBeginning -> words(R.string.problem_no_prompt)
        is Problem.OutOfRange -> settingWords(problem.name, problem.value)
        is Problem.EveryTokenForbidden -> words(R.string.problem_forbidden)
        is Problem.CacheInUse, is Problem.OtherCache, is Problem.Closed -> words(R.string.problem_closed)
    }

/** A setting that is out of its range, by its name in the core. */
internal fun settingWords(name: String, value: String): Message {
    val id =
        when (name) {
            "temperature" -> R.string.wrong_temperature
            "topK" -> R.string.wrong_top_k
            "topP" -> R.string.wrong_top_p
            "maxNewTokens" -> R.string.wrong_length
            "seed" -> R.string.wrong_seed
            "repetitionPenalty" -> R.string.wrong_repetition_penalty
            else -> R.string.wrong_setting
        }
    return words(id, value)
}

/** Folder and name: the path in front of them is the device's own affair. */
private fun place(file: File): String = listOfNotNull(file.parentFile?.name, file.name).joinToString("/")

private fun megabytes(bytes: Long): Int = (bytes / 1_000_000).toInt()

private fun words(id: Int, vararg arguments: Any) = Message(id, arguments.toList())
