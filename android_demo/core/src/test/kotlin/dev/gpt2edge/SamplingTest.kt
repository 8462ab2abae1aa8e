package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

class SamplingTest {
    private val vectors = TestData.json(File(TestData.folder, "sampling.json"))

    @TestFactory
    fun `draws the tokens of tests-vectors-sampling`(): List<DynamicTest> {
        val shared = TestData.json(File(TestData.repository, "tests/vectors/sampling.json"))
        return shared["cases"].list().map { it.members() }.map { case ->
            dynamicTest(case["name"] as String) {
                val config =
                    GenerationConfig(
                        temperature = case["temperature"].double().toFloat(),
                        topK = case["top_k"].int(),
                        topP = case["top_p"].double().toFloat(),
                        seed = case["seed"] as Long,
                    )
                val sampler = makeSampler(config.over(GenerationConfig()), case["seed"] as Long)
                val logits = case["logits"].floats()
                val expected = case["tokens"].ints().toList()
                assertEquals(expected, expected.map { sampler.choose(logits) })
            }
        }
    }

    @Test
    fun `SplitMix64 as published`() {
        // The first outputs of the reference implementation for the seed 1234567.
        val random = SplitMix64(1234567)
        val expected = listOf("6457827717110365317", "3203168211198807973", "9817491932198370423")
        assertEquals(expected, List(3) { random.next().toULong().toString() })
    }

    @Test
    fun `the largest in order, lower ids first among equals`() {
        val largest = Largest()
        for (case in vectors["largest"].list().map { it.members() }) {
            largest.find(case["logits"].floats(), case["k"].int())
            assertEquals(case["ids"].ints().toList(), largest.ids.take(largest.size))
        }
    }

    @Test
    fun `the same tokens pass temperature, top k and top p as in Python`() {
        var compared = 0
        for (case in vectors["candidates"].list().map { it.members() }) {
            val expected = case["ids"] ?: continue
            val candidates =
                Candidates(case["temperature"].double(), case["top_k"].int(), case["top_p"].double())
            candidates.select(case["logits"].floats(), reach = 1.0)
            assertEquals(expected.ints().toList(), candidates.ids.take(candidates.size))
            compared++
        }
        assertTrue(compared > 20)
    }

    @Test
    fun `a repetition penalty divides what was seen, once`() {
        for (case in vectors["penalty"].list().map { it.members() }) {
            val logits = case["logits"].floats()
            val penalty = RepetitionPenalty(case["penalty"].double().toFloat(), logits.size)
            case["seen"].ints().forEach(penalty::add)
            penalty.apply(logits)
            assertArrayEquals(case["after"].floats(), logits)
        }
    }

    @Test
    fun `the most likely token, the lowest id among equals`() {
        assertEquals(1, greedy(floatArrayOf(0f, 3f, 3f, -1f)))
        assertEquals(0, greedy(floatArrayOf(-5f)))
    }

    @Test
    fun `logits that a token can be chosen from`() {
        val none = Float.NEGATIVE_INFINITY
        assertTrue(areNumbers(floatArrayOf(-3f, 0f, none)))
        for (wrong in listOf(floatArrayOf(1f, Float.NaN), floatArrayOf(none, none), floatArrayOf(Float.POSITIVE_INFINITY))) {
            assertFalse(areNumbers(wrong))
        }
    }

    @Test
    fun `top k 0 keeps all, top p 0 the most likely`() {
        val logits = FloatArray(3000) { -it / 100f }
        fun drawn(config: GenerationConfig): Set<Int> {
            val sampler = makeSampler(config.over(GenerationConfig()), 1)
            return List(400) { sampler.choose(logits) }.toSet()
        }
        assertTrue(drawn(GenerationConfig(topK = 0)).any { it > 50 })
        assertTrue(drawn(GenerationConfig(seed = 1)).all { it < 50 })
        assertEquals(setOf(0), drawn(GenerationConfig(topP = 0f)))
        assertEquals(setOf(0), drawn(GenerationConfig(topK = 0, topP = 0f)))
    }

    @Test
    fun `settings out of range`() {
        val wrong =
            listOf<() -> Unit>(
                { GenerationConfig(maxNewTokens = 0) },
                { GenerationConfig(temperature = -1f) },
                { GenerationConfig(temperature = Float.NaN) },
                { GenerationConfig(temperature = Float.POSITIVE_INFINITY) },
                { GenerationConfig(topK = -1) },
                { GenerationConfig(topP = -0.1f) },
                { GenerationConfig(topP = 1.01f) },
                { GenerationConfig(repetitionPenalty = 0f) },
                { GenerationConfig(stopStrings = listOf("")) },
            )
        for (make in wrong) assertContains(failure<GenerationException> { make() }, "it must be")
    }

    @Test
    fun `an extremely cold temperature is greedy`() {
        val sampler = makeSampler(GenerationConfig(temperature = 1e-45f, topK = 10, seed = 4).over(GenerationConfig()), 4)
        repeat(20) { assertEquals(2, sampler.choose(floatArrayOf(1f, -200f, 1.001f, 0f))) }
    }
}
