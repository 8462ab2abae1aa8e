package dev.gpt2edge.demo

import dev.gpt2edge.GPT2EdgeException
import dev.gpt2edge.GenerationConfig
import dev.gpt2edge.GenerationResult
import java.io.IOException
import java.util.concurrent.CancellationException

/** What the application itself refuses. */
class DemoException(message: String) : Exception(message)

/** What went wrong in [task], in words; null if nothing did. Nothing may end the application. */
internal fun attempt(task: () -> Unit): String? =
    try {
        task()
        null
    } catch (error: GPT2EdgeException) {
        error.message
    } catch (error: DemoException) {
        error.message
    } catch (error: OutOfMemoryError) {
        "this needs more memory than Android gives the application: choose a smaller package"
    } catch (error: CancellationException) {
        error.message
    } catch (error: IOException) {
        error.message ?: "the storage cannot be read or written"
    } catch (error: Throwable) { // a native library that does not load, say
        val cause = generateSequence(error) { it.cause }.last()
        "${cause.javaClass.simpleName}: ${cause.message?.lineSequence()?.first() ?: "no details"}"
    }

/** Why a text ended, in words, unless it has the length that [config] asked for. */
internal fun endOf(result: GenerationResult, config: GenerationConfig): String? =
    when {
        result.finishReason == "eos" -> "The model ended the text here."
        result.finishReason == "cancelled" -> "Stopped."
        result.finishReason == "time" -> "The package's time limit ended the text here."
        result.finishReason == "length" && result.ids.size != config.maxNewTokens ->
            "The model's context is full: shorten the text to go on."
        else -> null
    }
