package dev.gpt2edge.coroutines

import dev.gpt2edge.GenerationConfig
import dev.gpt2edge.GenerationResult
import dev.gpt2edge.Generator
import dev.gpt2edge.NextToken
import dev.gpt2edge.Perplexity
import dev.gpt2edge.PromptCache
import dev.gpt2edge.ScoredToken
import dev.gpt2edge.TextEvent
import java.io.File
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.trySendBlocking
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.isActive
import kotlinx.coroutines.withContext

/*
 * The calls of Generator for coroutines. Each runs on [dispatcher], so that it may be made from the
 * screen's thread, and cancelling the coroutine ends a text at its next token. Errors are Generator's.
 */

/** Generator.load without blocking the caller; availableMemory as there. */
suspend fun loadGenerator(
    folder: File,
    threads: Int = 0,
    verify: Boolean = true,
    availableMemory: Long? = null,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Generator = withContext(dispatcher) { Generator.load(folder, threads, verify, availableMemory) }

/** Continues [prompt] and returns all of it. A text that is cancelled has no result. */
suspend fun Generator.generateText(
    prompt: String,
    config: GenerationConfig = GenerationConfig(),
    cache: PromptCache? = null,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): GenerationResult = withContext(dispatcher) { generate(prompt, config, { !isActive }, cache) }

/**
 * Continues [prompt] while it is collected: the text, ids and log-probabilities that each step adds. A
 * slow collector slows the writing down. onResult: gets the record at the end.
 */
fun Generator.events(
    prompt: String,
    config: GenerationConfig = GenerationConfig(),
    cache: PromptCache? = null,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
    onResult: (GenerationResult) -> Unit = {},
): Flow<TextEvent> =
    channelFlow {
            val scope: CoroutineScope = this
            val result = streamEvents(prompt, config, { !scope.isActive }, cache) { trySendBlocking(it) }
            if (scope.isActive) onResult(result)
        }
        .flowOn(dispatcher)

/** Like [events], pieces of the new text alone. */
fun Generator.text(
    prompt: String,
    config: GenerationConfig = GenerationConfig(),
    cache: PromptCache? = null,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
    onResult: (GenerationResult) -> Unit = {},
): Flow<String> =
    events(prompt, config, cache, dispatcher, onResult).filter { it.text.isNotEmpty() }.map { it.text }

/** Generator.nextTokens. */
suspend fun Generator.likeliestNext(
    prompt: String,
    k: Int = 10,
    cache: PromptCache? = null,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): List<NextToken> = withContext(dispatcher) { nextTokens(prompt, k, cache = cache) }

/** Generator.scoreTokens. */
suspend fun Generator.scored(
    ids: IntArray,
    bos: Boolean = false,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): List<ScoredToken> = withContext(dispatcher) { scoreTokens(ids, bos) }

/** Generator.perplexity of a text. */
suspend fun Generator.perplexityOf(
    text: String,
    bos: Boolean = false,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Perplexity = withContext(dispatcher) { perplexity(text, bos = bos) }
