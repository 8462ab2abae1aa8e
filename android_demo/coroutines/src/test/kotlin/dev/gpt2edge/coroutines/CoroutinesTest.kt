package dev.gpt2edge.coroutines

import dev.gpt2edge.GPT2EdgeException
import dev.gpt2edge.GenerationConfig
import dev.gpt2edge.GenerationResult
import dev.gpt2edge.Generator
import dev.gpt2edge.Problem
import java.io.File
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class CoroutinesTest {
    private val config = GenerationConfig(30, ignoreEos = true)

    @Test
    fun `a flow is the text that the plain call writes, with its record`() {
        val plain = generator.generate("The animal", config)
        var result: GenerationResult? = null
        val pieces = runBlocking { generator.text("The animal", config) { result = it }.toList() }
        assertEquals(plain.text, pieces.joinToString(""))
        assertTrue(pieces.size > 5)
        assertEquals(plain.ids.toList(), result!!.ids.toList())
        val events = runBlocking { generator.events("The animal", config).toList() }
        assertEquals(plain.ids.toList(), events.flatMap { it.ids })
    }

    @Test
    fun `a collector that has enough ends the writing`() {
        var result: GenerationResult? = null
        val pieces = runBlocking { generator.text("The animal", config.copy(maxNewTokens = 400)) { result = it }.take(3).toList() }
        assertEquals(3, pieces.size)
        assertNull(result)
    }

    @Test
    fun `cancelling ends a text at its next token`() = runBlocking {
        val started = CompletableDeferred<Unit>()
        var pieces = 0
        val writing =
            launch(Dispatchers.Default) {
                generator.text("The animal", config.copy(maxNewTokens = 400)).collect {
                    pieces++
                    started.complete(Unit)
                }
            }
        started.await()
        writing.cancelAndJoin()
        assertTrue(writing.isCancelled && pieces in 1..399, "$pieces")
    }

    @Test
    fun `what is suspended runs on another thread and gives what the plain calls give`() = runBlocking {
        generator.newCache().use { cache ->
            assertEquals(generator.nextTokens("The animal", 3), generator.likeliestNext("The animal", 3, cache))
        }
        val result = generator.generateText("The animal", config)
        assertEquals(generator.generate("The animal", config).text, result.text)
        val ids = generator.encode("The animal was tired")
        assertEquals(generator.scoreTokens(ids), generator.scored(ids))
        assertEquals(generator.perplexity("The animal was tired"), generator.perplexityOf("The animal was tired"))
        val thread = Thread.currentThread()
        var other: Thread? = null
        generator.text("The", config, dispatcher = Dispatchers.IO).collect { other = Thread.currentThread() }
        assertEquals(thread, other) // collected here
        val flow = generator.events("The", config, onResult = { other = Thread.currentThread() })
        flow.collect {}
        assertNotEquals(thread, other)
    }

    @Test
    fun `errors come out of the flow`() {
        val error =
            assertThrows(GPT2EdgeException::class.java) {
                runBlocking { generator.text("word ".repeat(600), config).collect {} }
            }
        assertTrue(error.problem is Problem.PromptTooLong)
    }

    @Test
    fun `a package is loaded beside the caller`() = runBlocking {
        loadGenerator(folder, threads = 1).use { assertEquals(generator.tokenLabel(9), it.tokenLabel(9)) }
    }

    private companion object {
        val folder = File(System.getProperty("gpt2edge.testdata"), "packages/int4")
        val generator = Generator.load(folder)

        @JvmStatic @AfterAll fun close() = generator.close()
    }
}
