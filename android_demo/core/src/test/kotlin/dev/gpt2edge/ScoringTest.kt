package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/** Scores and options as the Python runtime computes them, with the same version of ONNX Runtime. */
class ScoringTest {
    private val packages = TestData.json(File(TestData.folder, "generation.json"))["packages"].members()

    private fun ofEach(test: (Generator, Map<String, Any?>) -> Unit): List<DynamicTest> =
        packages.map { (name, expected) ->
            dynamicTest(name) {
                Generator.load(TestData.packageFolder(name)).use { test(it, expected.members()) }
            }
        }

    @TestFactory
    fun `each token's log-probability and rank`() = ofEach { generator, expected ->
        for (case in expected["scores"].members()["tokens"].list().map { it.members() }) {
            val found = generator.scoreTokens(case["ids"].ints(), case["bos"] as Boolean)
            val wanted = case["expect"].list().map { it.list() }
            assertEquals(wanted.map { it[0].int() }, found.map { it.id })
            assertEquals(wanted.map { it[1] }, found.map { it.text })
            assertEquals(wanted.map { (it[3] as Long?)?.toInt() }, found.map { it.rank })
            assertEquals(wanted[0][2] == null, found[0].logprob == null)
            for ((one, other) in wanted.drop(1).zip(found.drop(1))) assertEquals(one[2].double(), other.logprob!!, 1e-5)
        }
    }

    @TestFactory
    fun `perplexity in windows, and of a text with its bits per byte`() = ofEach { generator, expected ->
        val scores = expected["scores"].members()
        for (case in scores["perplexity"].list().map { it.members() }) {
            val window = (case["window"] as Long?)?.toInt()
            val stride = (case["stride"] as Long?)?.toInt()
            same(case, generator.perplexity(case["ids"].ints(), window, stride, case["bos"] as Boolean))
        }
        for (case in scores["texts"]?.list().orEmpty().map { it.members() }) {
            same(case, generator.perplexity(case["text"] as String, bos = case["bos"] as Boolean))
        }
    }

    private fun same(case: Map<String, Any?>, found: Perplexity) {
        assertEquals(case["tokens"].int(), found.tokens)
        assertEquals(case["loss"].double(), found.negativeLogLikelihood, 1e-5 * found.tokens)
        assertEquals(case["error"].double() / found.perplexity, found.standardError / found.perplexity, 1e-4)
        assertEquals(1.0, found.perplexity / case["perplexity"].double(), 1e-4)
        assertEquals((case["bytes"] as Long?)?.toInt(), found.textBytes)
        if (case["bits"] == null) assertNull(found.bitsPerByte) else assertEquals(case["bits"].double(), found.bitsPerByte!!, 1e-5)
    }

    @TestFactory
    fun `continuations, of contexts that do not fit and of none`() = ofEach { generator, expected ->
        for (case in expected["scores"].members()["continuation"].list().map { it.list() }) {
            val found = generator.continuation(case[0].ints(), case[1].ints())
            val wanted = case[2].list().map { it.double() }
            assertEquals(wanted.size, found.logprobs.size)
            for ((one, other) in wanted.zip(found.logprobs)) assertEquals(one, other, 1e-5)
            assertEquals(wanted.sum(), found.logprob, 1e-4)
            assertEquals(case[3], found.greedy)
        }
    }

    @TestFactory
    fun `the next tokens that settings leave, and after a step of a cache`() = ofEach { generator, expected ->
        val prompt = IntArray(30) { (it * 17 + 3) % generator.modelPackage.manifest.architecture.vocabSize }
        for (case in expected["after_settings"].list().map { it.members() }) {
            val settings = case["settings"]?.members()
            val wanted = case["expect"].list().map { it.list() }
            val found =
                if (settings == null) {
                    generator.newCache().use { cache ->
                        generator.nextTokens(prompt.copyOf(29), 6, cache = cache)
                        generator.nextTokens(prompt, 6, cache = cache)
                    }
                } else {
                    val temperature = settings["temperature"]?.double()?.toFloat()
                    val topP = settings["top_p"]?.double()?.toFloat()
                    generator.nextTokens(prompt, 6, temperature, settings["top_k"]?.int(), topP)
                }
            assertEquals(wanted.map { it[0].int() }, found.map { it.id }, "$settings")
            for ((one, other) in wanted.zip(found)) assertEquals(one[1].double(), other.probability, 1e-6)
        }
    }

    @Test
    fun `what cannot be scored`() {
        fun problem(work: () -> Unit): Problem {
            val error = org.junit.jupiter.api.Assertions.assertThrows(GPT2EdgeException::class.java) { work() }
            assertTrue(error.message!!.isNotEmpty())
            return error.problem
        }
        assertEquals(Problem.TooShort(1), problem { generator.scoreTokens(intArrayOf(5)) })
        assertEquals(2, generator.scoreTokens(intArrayOf(5, 6)).size)
        assertEquals(1, generator.scoreTokens(intArrayOf(5), bos = true).size)
        assertEquals(Problem.PromptTooLong(514, 513), problem { generator.scoreTokens(IntArray(514)) })
        assertEquals(Problem.UnknownToken(-1, vocabulary), problem { generator.scoreTokens(intArrayOf(-1, 4)) })
        assertEquals(Problem.TooShort(0), problem { generator.perplexity("") })
        assertEquals(Problem.TooShort(0), problem { generator.continuation(intArrayOf(4), IntArray(0)) })
        assertEquals(Problem.PromptTooLong(513, 512), problem { generator.continuation(intArrayOf(4), IntArray(513)) })
        assertEquals(Problem.OutOfRange("window", "1"), problem { generator.perplexity(IntArray(9), window = 1) })
        assertEquals(Problem.OutOfRange("window", "513"), problem { generator.perplexity(IntArray(9), window = 513) })
        assertEquals(Problem.OutOfRange("stride", "0"), problem { generator.perplexity(IntArray(9), stride = 0) })
        assertEquals(Problem.OutOfRange("stride", "5"), problem { generator.perplexity(IntArray(9), 4, 5) })
        Generator.load(TestData.packageFolder("not-numbers")).use { wrong ->
            assertTrue(problem { wrong.scoreTokens(intArrayOf(9, 8)) } is Problem.NotNumbers)
        }
        Generator.load(TestData.packageFolder("no-tokenizer")).use { bare ->
            assertEquals(Problem.NoTokenizer, problem { bare.perplexity("text") })
            assertEquals("9", bare.nextTokens(intArrayOf(5), 1).let { bare.tokenLabel(9) })
        }
    }

    private companion object {
        val generator = Generator.load(TestData.packageFolder("int4"))
        val vocabulary = generator.modelPackage.manifest.architecture.vocabSize

        @JvmStatic @AfterAll fun close() = generator.close()
    }
}
