package dev.gpt2edge

import ai.onnxruntime.OrtEnvironment
import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/** The Python runtime's tokens and logits, with the same version of ONNX Runtime. */
class PythonParityTest {
    private val vectors = TestData.json(File(TestData.folder, "generation.json"))
    private val packages = vectors["packages"].members()

    private fun ofEach(test: (Generator, Map<String, Any?>) -> Unit): List<DynamicTest> =
        packages.map { (name, expected) ->
            dynamicTest(name) {
                Generator.load(TestData.packageFolder(name)).use { test(it, expected.members()) }
            }
        }

    @Test
    fun `the vectors come from the same ONNX Runtime`() {
        assertEquals(OrtEnvironment.getEnvironment().version, vectors["onnxruntime"])
    }

    @TestFactory
    fun `200 greedy and 200 seeded tokens`() = ofEach { generator, expected ->
        for (run in expected["runs"].list().map { it.members() }) {
            val prompt = run["prompt_ids"].ints()
            val greedy = GenerationConfig(200, ignoreEos = true)
            assertSame(run, "greedy", generator.streamIds(prompt, greedy))
            val seeded = greedy.copy(temperature = 0.8f, topK = 40, seed = vectors["seed"] as Long)
            assertSame(run, "seeded", generator.streamIds(prompt, seeded))
        }
    }

    private fun assertSame(run: Map<String, Any?>, kind: String, result: GenerationResult) {
        assertEquals(200, result.ids.size)
        val expected = run[kind].ints().toList()
        val same = result.ids.toList().zip(expected).takeWhile { (a, b) -> a == b }.size
        val where = "$kind after ${run["prompt"]}: first $same tokens are equal"
        assertEquals(expected, result.ids.toList(), where)
        assertEquals(run["${kind}_text"] ?: "", result.text)
        assertEquals("length", result.finishReason)
    }

    @TestFactory
    fun `a window that slides behind a prompt longer than the context`() = ofEach { generator, expected ->
        val config =
            GenerationConfig(40, contextOverflow = "slide", keep = 5, ignoreEos = true, logprobs = true)
        assertSame(generator, expected["sliding"].members(), config)
    }

    @TestFactory
    fun `every setting that changes logits or draws, at once`() = ofEach { generator, expected ->
        val config =
            GenerationConfig(
                maxNewTokens = 60,
                minNewTokens = 60,
                temperature = 0.9f,
                topK = 0,
                topP = 0.97f,
                minP = 0.01f,
                typicalP = 0.95f,
                seed = vectors["seed"] as Long,
                repetitionPenalty = 1.2f,
                presencePenalty = 0.3f,
                frequencyPenalty = 0.2f,
                noRepeatNgramSize = 3,
                badWordsIds = listOf(listOf(11), listOf(262, 264)),
                logitBias = mapOf(13 to -1.5f),
                suppressTokens = listOf(198),
                beginSuppressTokens = listOf(12),
                logprobs = true,
                topLogprobs = 3,
            )
        assertSame(generator, expected["everything"].members(), config)
    }

    private fun assertSame(generator: Generator, expected: Map<String, Any?>, config: GenerationConfig) {
        val result = generator.streamIds(expected["prompt"].ints(), config)
        assertEquals(expected["ids"].ints().toList(), result.ids.toList())
        val logprobs = expected["logprobs"].list().map { it.double() }
        assertEquals(config.maxNewTokens, logprobs.size)
        for ((one, other) in logprobs.zip(result.logprobs!!)) assertEquals(one, other, 1e-5)
        val alternatives = expected["top_logprobs"]?.list()?.map { it.list().map { pair -> pair.list()[0].int() } }
        assertEquals(alternatives, result.topLogprobs?.map { it.map(TokenLogprob::id) })
    }

    @TestFactory
    fun `the likeliest next tokens`() = ofEach { generator, expected ->
        if (generator.tokenizer == null) return@ofEach
        for (run in expected["runs"].list().map { it.members() }) {
            val wanted = run["next"].list().map { it.list() }
            val found = generator.nextTokens(run["prompt"] as String, wanted.size)
            assertEquals(wanted.map { it[0].int() }, found.map { it.id })
            assertEquals(wanted.map { it[1] }, found.map { it.text })
            for ((one, other) in wanted.zip(found)) assertEquals(one[2].double(), other.probability, 1e-6)
        }
    }

    @TestFactory
    fun `logits after prompts of many lengths, to the bit`() = ofEach { generator, expected ->
        val cases = expected["prefill"].list().map { it.members() }
        assertTrue(cases.size > 10)
        for (case in cases) {
            val ids = case["ids"].ints()
            val bits = generator.logits(ids).map { java.lang.Float.floatToRawIntBits(it) }
            assertEquals(case["first"].ints().toList(), bits.take(20), "after ${ids.size} tokens")
            assertEquals(case["sum"], bits.sumOf { it.toLong() }, "after ${ids.size} tokens")
        }
    }
}
