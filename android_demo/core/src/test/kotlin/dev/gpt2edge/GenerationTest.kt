package dev.gpt2edge

import java.io.File
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicReference
import kotlin.concurrent.thread
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir

/** One package, from the outside. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GenerationTest {
    @TempDir lateinit var temporary: File
    private lateinit var generator: Generator

    @BeforeAll
    fun load() {
        generator = Generator.load(TestData.packageFolder("int4"))
    }

    @AfterAll fun close() = generator.close()

    private fun stream(prompt: String, config: GenerationConfig): Pair<GenerationResult, List<String>> {
        val pieces = ArrayList<String>()
        return generator.stream(prompt, config) { pieces.add(it) } to pieces
    }

    @Test
    fun `the self-test passes`() {
        val report = generator.selfTest()
        assertTrue(report.passed, report.message)
    }

    @Test
    fun `pieces concatenate to the text, the text to the ids`() {
        val config = GenerationConfig(60, temperature = 1.5f, seed = 5, ignoreEos = true)
        val (result, pieces) = stream("The animal", config)
        assertEquals(60, result.ids.size)
        assertEquals("length", result.finishReason)
        assertEquals(5L, result.seed)
        assertEquals(result.text, pieces.joinToString(""))
        assertEquals(generator.tokenizer!!.decode(result.ids), result.text)
        assertTrue(pieces.none { it.isEmpty() })
    }

    @Test
    fun `statistics`() {
        val (result, _) = stream("The animal was", GenerationConfig(10))
        assertEquals(generator.tokenizer!!.encode("The animal was").size, result.promptTokens)
        assertTrue(result.timeToFirstTokenSeconds > 0)
        assertTrue(result.prefillTokensPerSecond > 0)
        assertTrue(result.decodeTokensPerSecond > 0)
        val (one, _) = stream("The animal was", GenerationConfig(1))
        assertEquals(0.0, one.decodeTokensPerSecond)
    }

    @Test
    fun `a fresh seed is reported and repeats the text`() {
        val (first, _) = stream("Once", GenerationConfig(30, temperature = 1f))
        assertNotNull(first.seed)
        val (again, _) = stream("Once", GenerationConfig(30, temperature = 1f, seed = first.seed))
        assertArrayEquals(first.ids, again.ids)
        assertNull(stream("Once", GenerationConfig(3)).first.seed)
    }

    @Test
    fun `cancelled before, within and after a few tokens`() {
        val before = generator.stream("The animal", GenerationConfig(), { true }) {}
        assertEquals("cancelled", before.finishReason)
        assertEquals(0, before.ids.size)
        assertEquals("", before.text)

        var shown = ""
        val long = GenerationConfig(300, ignoreEos = true)
        val within = generator.stream("The animal", long, { shown.length > 20 }) { shown += it }
        assertEquals("cancelled", within.finishReason)
        assertEquals(shown, within.text)
        assertTrue(within.ids.size in 2..30)

        val (whole, _) = stream("The animal", GenerationConfig(within.ids.size))
        assertArrayEquals(whole.ids, within.ids)
    }

    @Test
    fun `cancelled between the chunks of a long prompt`() {
        var asked = 0
        val result = generator.streamIds(IntArray(500) { it }, GenerationConfig(5), { ++asked == 2 })
        assertEquals("cancelled", result.finishReason)
        assertEquals(0, result.ids.size)
        assertEquals(2, asked)
    }

    @Test
    fun `an error of the application's ends the generation and is not swallowed`() {
        val error = runCatching { generator.stream("The", GenerationConfig(5)) { error("screen gone") } }
        assertEquals("screen gone", error.exceptionOrNull()?.message)
        assertEquals(5, stream("The", GenerationConfig(5, ignoreEos = true)).first.ids.size)
    }

    @Test
    fun `an end-of-text token ends a text`() {
        val config = GenerationConfig(30)
        val (whole, _) = stream("The animal", config)
        // Any token of the text will do as its end, if the manifest says so.
        val end = whole.ids[12]
        val before = whole.ids.takeWhile { it != end }
        val folder = TestData.copyOf("int4", File(temporary, "package"))
        TestData.editManifest(folder, "\"eos_token_ids\": [", "\"eos_token_ids\": [$end, ")
        Generator.load(folder).use { other ->
            val result = other.stream("The animal", config) {}
            assertEquals("eos", result.finishReason)
            assertEquals(before + end, result.ids.toList())
            assertEquals(30, other.stream("The animal", config.copy(ignoreEos = true)) {}.ids.size)
        }
    }

    @Test
    fun `a stop string ends the text before it, and no part of it is shown`() {
        val config = GenerationConfig(40, ignoreEos = true)
        val (whole, _) = stream("The animal", config)
        val stop = whole.text.substring(15, 22)
        val (stopped, pieces) = stream("The animal", config.copy(stopStrings = listOf(stop)))
        assertEquals("stop", stopped.finishReason)
        assertEquals(whole.text.substring(0, whole.text.indexOf(stop)), stopped.text)
        assertEquals(stopped.text, pieces.joinToString(""))
    }

    @Test
    fun `a stop string that does not come changes nothing`() {
        val config = GenerationConfig(40, ignoreEos = true)
        val (whole, _) = stream("The animal", config)
        val never = whole.text.takeLast(3) + "never"
        val (same, _) = stream("The animal", config.copy(stopStrings = listOf(never)))
        assertEquals(whole.text, same.text)
        assertEquals("length", same.finishReason)
    }

    @Test
    fun `the context ends a text`() {
        val context = generator.modelPackage.manifest.architecture.contextLength
        val prompt = IntArray(context - 3) { 50 }
        val result = generator.streamIds(prompt, GenerationConfig(100, ignoreEos = true))
        assertEquals("length", result.finishReason)
        assertEquals(4, result.ids.size) // the last one needs no room
    }

    @Test
    fun `prompts that cannot be taken`() {
        val config = GenerationConfig(5)
        assertContains(failure<GenerationException> { stream("", config) }, "the prompt is empty")
        assertContains(
            failure<GenerationException> { generator.streamIds(intArrayOf(1, 8192), config) },
            "8192", "vocabulary of 8192",
        )
        assertContains(
            failure<ContextOverflowException> { stream("word ".repeat(600), config) },
            "context holds 512", "shorten it",
        )
        assertContains(failure<GenerationException> { generator.nextTokens("The", 0) }, "k is 0")
    }

    @Test
    fun `a package without a tokenizer takes ids`() {
        Generator.load(TestData.packageFolder("no-tokenizer")).use { bare ->
            val result = bare.streamIds(intArrayOf(5, 6, 7), GenerationConfig(4, ignoreEos = true))
            assertEquals(4, result.ids.size)
            assertEquals("", result.text)
            assertContains(
                failure<GenerationException> { bare.stream("text", GenerationConfig()) {} },
                "has no tokenizer",
            )
        }
    }

    @Test
    fun `logits that are not numbers are an error, not a token`() {
        Generator.load(TestData.packageFolder("not-numbers")).use { wrong ->
            for (config in listOf(GenerationConfig(5), GenerationConfig(5, temperature = 1f, topK = 0))) {
                val message = failure<GenerationException> { wrong.stream("The animal", config) {} }
                assertContains(message, "model.onnx", "logits that are not numbers", "export the model again")
            }
            assertContains(failure<GenerationException> { wrong.nextTokens("The", 3) }, "not numbers")
            val report = wrong.selfTest()
            assertTrue(!report.passed)
            assertContains(report.message, "is NaN", "not numbers")
        }
        Generator.load(TestData.packageFolder("no-number-for-later")).use { wrong ->
            val ids = ArrayList<Int>()
            val config = GenerationConfig(9, ignoreEos = true)
            val message = failure<GenerationException> { wrong.streamIds(intArrayOf(9, 8, 7), config) { ids.add(it) } }
            assertContains(message, "after 6 tokens")
            assertEquals(3, ids.size)
        }
    }

    @Test
    fun `a prompt begins with what the tokenizer's template puts there`() {
        val folder = TestData.copyOf("int4", File(temporary, "template"))
        val file = File(folder, "tokenizer.json")
        val content = TestData.json(file).changeable()
        content["post_processor"] =
            mapOf(
                "type" to "TemplateProcessing",
                "special_tokens" to mapOf("b" to mapOf("id" to "b", "ids" to listOf(0), "tokens" to listOf("b"))),
                "single" to listOf(mapOf("SpecialToken" to mapOf("id" to "b")), mapOf("Sequence" to mapOf("id" to "A"))),
            )
        file.writeText(toJson(content))
        TestData.listAnew(folder, "tokenizer.json")
        Generator.load(folder).use { other ->
            val config = GenerationConfig(5, ignoreEos = true)
            val plain = generator.tokenizer!!.encode("The animal")
            val result = other.stream("The animal", config) {}
            assertEquals(plain.size + 1, result.promptTokens)
            assertArrayEquals(generator.streamIds(intArrayOf(0) + plain, config).ids, result.ids)
        }
    }

    @Test
    fun `two threads share a generator`() {
        val config = GenerationConfig(60, ignoreEos = true)
        val alone = listOf("The animal", "Once upon").map { stream(it, config).first.text }
        val together = arrayOfNulls<String>(2)
        listOf("The animal", "Once upon")
            .mapIndexed { index, prompt ->
                thread { together[index] = generator.stream(prompt, config) {}.text }
            }
            .forEach { it.join() }
        assertEquals(alone, together.toList())
    }

    @Test
    fun `closing waits for a generation, and twice is fine`() {
        val other = Generator.load(TestData.packageFolder("int4"), verify = false)
        val running = CountDownLatch(1)
        val result = AtomicReference<GenerationResult>()
        val worker = thread {
            result.set(other.stream("The", GenerationConfig(100, ignoreEos = true)) { running.countDown() })
        }
        assertTrue(running.await(30, TimeUnit.SECONDS))
        other.close()
        worker.join()
        assertEquals(100, result.get().ids.size)
        other.close()
        assertContains(
            failure<GPT2EdgeException> { other.stream("The", GenerationConfig(1)) {} },
            "was closed",
        )
    }
}
