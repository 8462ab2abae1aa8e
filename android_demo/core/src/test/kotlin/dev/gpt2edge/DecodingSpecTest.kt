package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

/** spec/decoding.json and spec/prefill.json, which Python and the browser module run too. */
class DecodingSpecTest {
    @TempDir lateinit var temporary: File
    private val spec = TestData.spec("decoding")

    @TestFactory
    fun `whole texts of a scripted model`() =
        specCases("decoding", "cases") { case ->
            val events = ArrayList<TextEvent>()
            val reason = run(case) { events.add(it) }
            val expected = case["expect"].members()
            assertEquals(expected["ids"].ints().toList(), events.flatMap { it.ids })
            assertEquals(expected["pieces"], events.map { it.text })
            assertEquals(expected["finish_reason"], reason)
            same(expected["logprobs"]?.list().orEmpty(), events.flatMap { it.logprobs })
            val alternatives = expected["top_logprobs"]?.list().orEmpty().map { it.list() }
            val found = events.flatMap { it.topLogprobs }
            val ids = alternatives.map { pairs -> pairs.map { it.list()[0].int() } }
            assertEquals(ids, found.map { it.map(TokenLogprob::id) })
            for ((pairs, tokens) in alternatives.zip(found)) {
                same(pairs.map { it.list()[1] }, tokens.map(TokenLogprob::logprob))
            }
        }

    @TestFactory
    fun `what is refused`() =
        specCases("decoding", "refused") { case ->
            val message = failure<GenerationException> { run(case) {} }
            assertContains(message, camelCase(case["refused"] as String))
        }

    @TestFactory
    fun `what stays of a full window`() =
        specCases("decoding", "windows") { case ->
            assertEquals(case["expect"].ints().toList(), slid(case["ids"].ints(), case["keep"].int()).toList())
        }

    @TestFactory
    fun `what a context takes of a prompt`() =
        specCases("decoding", "prompts") { case ->
            val found = fitted(case["ids"].ints(), case["capacity"].int(), case["keep"].int())
            assertEquals(case["expect"].ints().toList(), found.toList())
        }

    @TestFactory
    fun `the parts of a prompt`() =
        specCases("prefill", "cases") { case ->
            val expected = case["parts"].list().map { it.ints().toList() }
            val parts = ArrayList<List<Int>>()
            var there = case["start"].int()
            while (there < case["end"].int() && parts.size <= expected.size) {
                val part = nextPart(there, case["end"].int(), case["chunk"].int())
                parts += listOf(part.begin, part.end)
                there = part.end
            }
            assertEquals(expected, parts)
        }

    @Test
    fun `the usual chunk`() = assertEquals(TestData.spec("prefill")["chunk"].int(), PREFILL_CHUNK)

    @Test
    fun `an interrupted text has what was held back`() {
        for (reason in listOf("cancelled", "time")) {
            val case = spec["cases"].list().map { it.members() }.single { it["name"] == "a stop string" }
            val whole = case["expect"].members()["ids"].ints().toList()
            val events = ArrayList<TextEvent>()
            val found = run(case, interruption = { if (events.size == 4) reason else null }) { events.add(it) }
            assertEquals(reason, found)
            assertEquals(whole.take(4), events.flatMap { it.ids })
            assertEquals(listOf(" c", "b", ".", " ", "f"), events.map { it.text })
        }
    }

    @Test
    fun `a window that is fed again can be interrupted, too`() {
        val case = spec["cases"].list().map { it.members() }.first { it["name"] == "slide, with the first tokens kept" }
        var written = 0
        // The window has room for five tokens behind the prompt, and the sixth is pending when it slides.
        val reason = run(case, interruption = { if (written == 6) "cancelled" else null }) { written++ }
        assertEquals("cancelled", reason)
        assertEquals(6, written)
    }

    private fun run(
        case: Map<String, Any?>,
        interruption: () -> String? = { null },
        onEvent: (TextEvent) -> Unit,
    ): String {
        val decoding = decodingOf(case["settings"].members())
        val sequence = ScriptedSequence(case["capacity"].int(), spec["vocabulary"].list().size)
        decoding.requireTokens(sequence.logits.size)
        val given = case["prompt"].ints()
        val prompt = if (decoding.slides) fitted(given, sequence.capacity, decoding.keep) else given
        val tokenizer = specTokenizer(spec, temporary)
        val writer = TextWriter(tokenizer.detokenizer(), decoding.stopStrings, decoding.includeStopStr)
        val ends = decoding.eosIds(spec["eos_token_ids"].ints().toSet())
        return DecodeLoop(sequence, decoding, ends, decoding.seed ?: 0, writer, interruption).run(prompt, onEvent)
    }

    private fun same(expected: List<Any?>, found: List<Double>) {
        assertEquals(expected.size, found.size)
        for ((one, other) in expected.zip(found)) assertEquals(one.double(), other, 1e-5)
    }
}

/** The model of spec/decoding.json; prompts are fed in parts of three tokens. */
private class ScriptedSequence(override val capacity: Int, vocabulary: Int) : FedSequence {
    private val held = IntList()

    override val length: Int
        get() = held.size

    override val logits = FloatArray(vocabulary)

    override fun ids(): IntArray = held.toArray()

    override fun prefill(tokens: IntArray, interrupted: () -> Boolean): Boolean {
        for (part in tokens.toList().chunked(3)) {
            if (interrupted()) return false
            part.forEach(::feed)
        }
        return true
    }

    override fun feed(id: Int) {
        assertTrue(length < capacity)
        held.add(id)
        var state = 0
        for (place in 0 until length) state += (place + 1) * (held[place] + 1)
        for (token in logits.indices) logits[token] = ((state * (2 * token + 3) + 5 * token * token) % 19) / 4f
    }

    override fun trim(length: Int) = held.truncate(length)

    override fun notNumbers() = GenerationException("not numbers", Problem.NotNumbers(File("model.onnx")))
}
