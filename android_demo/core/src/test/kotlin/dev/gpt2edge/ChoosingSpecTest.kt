package dev.gpt2edge

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.TestFactory

/** spec/sampling.json and spec/processors.json, which Python and the browser module run too. */
class ChoosingSpecTest {
    @TestFactory
    fun `distributions worked out by hand`() =
        specCases("sampling", "distributions") { case ->
            val weights = TestData.spec("sampling")["weights"].list().map { it.double() }
            val logits = FloatArray(weights.size) { Math.log(weights[it]).toFloat() }
            val candidates = makeCandidates(drawn(case)).apply { select(logits) }
            val found = DoubleArray(weights.size)
            for (place in 0 until candidates.size) found[candidates.id(place)] = candidates.probability(place)
            val shares = case["shares"].list().map { it.double() }
            assertArrayEquals(shares.map { it / shares.sum() }.toDoubleArray(), found, 1e-6)
        }

    @TestFactory
    fun `SplitMix64's outputs`() =
        specCases("sampling", "outputs") { case ->
            val random = SplitMix64(case["seed"] as Long)
            for (hex in case["hex"].list()) assertEquals(hex, String.format("%016x", random.next()))
        }

    @TestFactory
    fun `a draw is a function of seed and number`() =
        specCases("sampling", "uniforms") { case ->
            assertEquals(case["uniform"], draw(case["seed"] as Long, case["number"].int()))
        }

    @TestFactory
    fun `tokens that are drawn`() =
        specCases("sampling", "draws") { case ->
            val sampler = makeSampler(drawn(case), case["seed"] as Long)
            val logits = case["logits"].floats()
            val expected = case["tokens"].ints().toList()
            assertEquals(expected, expected.indices.map { sampler.choose(logits, it) })
            // Whatever was drawn before.
            assertEquals(expected.last(), sampler.choose(logits, expected.size - 1))
        }

    private fun drawn(case: Map<String, Any?>) = decodingOf(case["settings"].members() + ("do_sample" to true))

    @TestFactory
    fun `what processors make of logits`() =
        specCases("processors", "cases") { case ->
            val logits = TestData.spec("processors")["logits"].floats()
            val prompt = case["prompt"].int()
            val text = IntList().apply { case["ids"].ints().forEach(::add) }
            val processor = processor(case["setting"] as String, case["value"], prompt, logits.size)
            val expected = case["expect"].list().map { it?.double()?.toFloat() ?: Float.NEGATIVE_INFINITY }
            repeat(2) { // the second time as if there had been no first
                val changed = logits.copyOf()
                processor.process(text, changed)
                assertArrayEquals(expected.toFloatArray(), changed, 1e-6f)
            }
        }

    /** As settings make it, but for [setting] min_new_tokens, whose value has the end-of-text tokens too. */
    private fun processor(setting: String, value: Any?, prompt: Int, vocabulary: Int): Processor {
        val ends = if (setting == "min_new_tokens") value.list()[1].ints().toSet() else emptySet()
        val decoding = decodingOf(mapOf(setting to if (ends.isEmpty()) value else value.list()[0]))
        return makeProcessors(decoding, ends, prompt, vocabulary).single()
    }
}
