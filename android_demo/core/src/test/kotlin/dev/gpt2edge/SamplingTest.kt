package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class SamplingTest {
    private val vectors = TestData.json(File(TestData.folder, "sampling.json"))

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
            candidates.select(case["logits"].floats())
            assertEquals(expected.ints().toList(), List(candidates.size) { candidates.id(it) })
            compared++
        }
        assertTrue(compared > 20)
    }

    @Test
    fun `a repetition penalty divides what was seen, once`() {
        for (case in vectors["penalty"].list().map { it.members() }) {
            val logits = case["logits"].floats()
            val text = IntList().apply { case["seen"].ints().forEach(::add) }
            val penalty = repetitionPenalty(case["penalty"].double().toFloat(), logits.size)
            repeat(2) { // the second time as if there had been no first
                val changed = logits.copyOf()
                penalty.process(text, changed)
                assertArrayEquals(case["after"].floats(), changed)
            }
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
            val sampler = makeSampler(Decoding(config, GenerationConfig()), 1)
            return List(400) { sampler.choose(logits, it) }.toSet()
        }
        assertTrue(drawn(GenerationConfig(topK = 0)).any { it > 50 })
        assertTrue(drawn(GenerationConfig(seed = 1)).all { it < 50 })
        assertEquals(setOf(0), drawn(GenerationConfig(topP = 0f)))
        assertEquals(setOf(0), drawn(GenerationConfig(topK = 0, topP = 0f)))
    }

    @Test
    fun `typical_p over a vocabulary of many tokens is what its definition says`() {
        val random = kotlin.random.Random(3)
        repeat(40) {
            // Sixteenths: some tokens are exactly as likely as others.
            val logits = FloatArray(random.nextInt(2, 400)) { random.nextInt(-64, 64) / 16f }
            val mass = random.nextDouble(0.05, 0.99)
            val candidates = Candidates(1.0, 0, typicalP = mass).apply { select(logits) }
            val ids = List(candidates.size) { candidates.id(it) }
            assertEquals(typical(logits, mass), ids.toSet())
            assertEquals(1.0, ids.indices.sumOf { candidates.probability(it) }, 1e-9)
        }
    }

    /** Meister et al. 2022, by sorting: nearest to the entropy first, and what is as near as the last. */
    private fun typical(logits: FloatArray, mass: Double): Set<Int> {
        val shares = probabilities(logits, logits.indices.toList().toIntArray())
        val entropy = shares.sumOf { -it * Math.log(it) }
        fun distance(id: Int) = Math.abs(-Math.log(shares[id]) - entropy)
        var reached = 0.0
        val ordered = logits.indices.sortedBy(::distance)
        val last = ordered.first { id -> (reached + shares[id]).also { reached = it } >= mass }
        return ordered.filter { distance(it) <= distance(last) + 1e-12 }.toSet()
    }

    @Test
    fun `an extremely cold temperature is greedy`() {
        val cold = GenerationConfig(temperature = 1e-45f, topK = 10, seed = 4)
        val sampler = makeSampler(Decoding(cold, GenerationConfig()), 4)
        repeat(20) { assertEquals(2, sampler.choose(floatArrayOf(1f, -200f, 1.001f, 0f), it)) }
    }
}
