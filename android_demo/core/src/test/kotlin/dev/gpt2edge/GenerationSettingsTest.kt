package dev.gpt2edge

import java.io.File
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

/** What settings make of the texts of one package. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GenerationSettingsTest {
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
    fun `a stop string that is included ends the text behind it`() {
        val config = GenerationConfig(40, ignoreEos = true)
        val (whole, _) = stream("The animal", config)
        val stop = whole.text.substring(15, 22)
        val (stopped, pieces) = stream("The animal", config.copy(stopStrings = listOf(stop), includeStopStr = true))
        assertEquals("stop", stopped.finishReason)
        assertEquals(whole.text.substring(0, whole.text.indexOf(stop) + stop.length), stopped.text)
        assertEquals(stopped.text, pieces.joinToString(""))
    }

    @Test
    fun `events have text, ids and log-probabilities, and the result has them all`() {
        val config = GenerationConfig(30, ignoreEos = true, logprobs = true, topLogprobs = 2)
        val events = ArrayList<TextEvent>()
        val result = generator.streamEvents("The animal", config) { events.add(it) }
        assertEquals(result.text, events.joinToString("") { it.text })
        assertEquals(result.ids.toList(), events.flatMap { it.ids })
        assertEquals(result.logprobs, events.flatMap { it.logprobs })
        assertEquals(result.topLogprobs, events.flatMap { it.topLogprobs })
        assertEquals(30, result.logprobs!!.size)
        // Greedy: the token is the first of the most likely ones.
        val first = result.topLogprobs!!.map { it[0] }
        assertEquals(result.ids.toList(), first.map { it.id })
        assertEquals(result.logprobs, first.map { it.logprob })
        val (next) = generator.nextTokens("The animal", 1)
        assertEquals(next.probability, Math.exp(first[0].logprob), 1e-6)
        val plain = generator.stream("The animal", config.copy(logprobs = false, topLogprobs = 0)) {}
        assertArrayEquals(result.ids, plain.ids)
        assertNull(plain.logprobs)
        assertNull(plain.topLogprobs)
    }

    @Test
    fun `a time limit ends a text`() {
        val none = generator.stream("The animal", GenerationConfig(maxTime = 1e-9f)) {}
        assertEquals("time", none.finishReason)
        assertEquals(0, none.ids.size)
        val config = GenerationConfig(400, ignoreEos = true, maxTime = 0.05f)
        val some = generator.stream("The animal", config) { Thread.sleep(20) }
        assertEquals("time", some.finishReason)
        assertTrue(some.ids.size in 1..20, "${some.ids.size}")
    }

    @Test
    fun `tokens that a setting names and the vocabulary lacks`() {
        val wrong =
            mapOf(
                "suppressTokens" to GenerationConfig(suppressTokens = listOf(8192)),
                "beginSuppressTokens" to GenerationConfig(beginSuppressTokens = listOf(8192)),
                "badWordsIds" to GenerationConfig(badWordsIds = listOf(listOf(1, 8192))),
                "sequenceBias" to GenerationConfig(sequenceBias = mapOf(listOf(8192) to 1f)),
                "logitBias" to GenerationConfig(logitBias = mapOf(8192 to 1f)),
                "eosTokenId" to GenerationConfig(eosTokenId = listOf(8192)),
            )
        for ((name, config) in wrong) {
            val message = failure<GenerationException> { stream("The animal", config) }
            assertContains(message, name, "token id 8192", "vocabulary of 8192")
        }
    }

    @Test
    fun `the caller's ends are in place of the package's`() {
        val whole = generator.streamIds(intArrayOf(5, 6, 7), GenerationConfig(40, ignoreEos = true)).ids
        val config = GenerationConfig(40, eosTokenId = listOf(whole[9]))
        val ended = generator.streamIds(intArrayOf(5, 6, 7), config)
        assertEquals("eos", ended.finishReason)
        assertEquals(whole.take(whole.indexOf(whole[9]) + 1), ended.ids.toList())
        val later = generator.streamIds(intArrayOf(5, 6, 7), config.copy(minNewTokens = 30))
        assertTrue(later.ids.size >= 30, "${later.ids.size}")
    }

    @Test
    fun `a text slides past the context`() {
        val context = generator.modelPackage.manifest.architecture.contextLength
        val prompt = IntArray(context + 50) { it % 1000 + 1 }
        failure<ContextOverflowException> { generator.streamIds(prompt, GenerationConfig(3)) }
        val config = GenerationConfig(context, ignoreEos = true, contextOverflow = "slide", keep = 4)
        val result = generator.streamIds(prompt, config)
        assertEquals(context, result.promptTokens)
        assertEquals(context, result.ids.size)
        assertEquals("length", result.finishReason)
        // The first token is that of the prompt as it fits.
        val fitting = prompt.copyOf(4) + prompt.copyOfRange(54, prompt.size)
        assertEquals(generator.streamIds(fitting, GenerationConfig(1, ignoreEos = true)).ids[0], result.ids[0])
    }

    @Test
    fun `a package's penalties count for texts and not for its self-test`() {
        val folder = TestData.copyOf("int4", File(temporary, "penalties"))
        File(folder, "generation_config.json")
            .writeText("""{"repetition_penalty": 1.5, "suppress_tokens": [1, 2], "max_time": 1e-9}""")
        TestData.listAnew(folder, "generation_config.json")
        Generator.load(folder).use { own ->
            assertTrue(own.selfTest().passed, own.selfTest().message)
            assertEquals("time", own.stream("The animal", GenerationConfig()) {}.finishReason)
            val found = own.stream("The animal", GenerationConfig(60, maxTime = 600f, ignoreEos = true)) {}
            val asked = GenerationConfig(60, repetitionPenalty = 1.5f, suppressTokens = listOf(1, 2), ignoreEos = true)
            assertArrayEquals(generator.stream("The animal", asked) {}.ids, found.ids)
        }
    }

    @Test
    fun `a package's own settings are the defaults, and the caller's win`() {
        val folder = TestData.copyOf("int4", File(temporary, "settings"))
        File(folder, "generation_config.json")
            .writeText("""{"do_sample": true, "temperature": 0.9, "top_k": 7, "top_p": 0.5, "max_new_tokens": 11, "epsilon": 1}""")
        TestData.listAnew(folder, "generation_config.json")
        Generator.load(folder).use { own ->
            assertEquals(GenerationConfig(11, true, 0.9f, 7, 0.5f), own.generationConfig)
            val result = own.stream("The animal", GenerationConfig(ignoreEos = true)) {}
            assertEquals(11, result.ids.size)
            assertNotNull(result.seed)
            val same = GenerationConfig(11, true, 0.9f, 7, 0.5f, seed = result.seed, ignoreEos = true)
            assertArrayEquals(result.ids, generator.stream("The animal", same) {}.ids)
            val greedy = own.stream("The animal", GenerationConfig(6, doSample = false, ignoreEos = true)) {}
            val same6 = generator.stream("The animal", GenerationConfig(6, ignoreEos = true)) {}
            assertArrayEquals(same6.ids, greedy.ids)
            assertNull(greedy.seed)
            assertEquals(6, greedy.ids.size)
            assertTrue(own.selfTest().passed)
        }
        assertEquals(GenerationConfig(), generator.generationConfig)
        assertEquals(128, generator.stream("The animal", GenerationConfig(ignoreEos = true)) {}.ids.size)
    }

    @Test
    fun `a repetition penalty keeps a text from repeating itself`() {
        fun repeated(penalty: Float?): Int {
            val config = GenerationConfig(150, repetitionPenalty = penalty, ignoreEos = true)
            val ids = stream("The animal", config).first.ids
            return ids.size - ids.toSet().size
        }
        assertTrue(repeated(1.5f) < repeated(null) / 2, "${repeated(1.5f)} of ${repeated(null)}")
    }
}
