package dev.gpt2edge

import java.io.File
import kotlin.random.Random
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

class TokenizerTest {
    @TempDir lateinit var temporary: File

    private val sample = File(TestData.repository, "models/sample/tokenizer.json")

    @TestFactory
    fun `encodes, decodes and names tokens as Hugging Face tokenizers does`(): List<DynamicTest> =
        TestData.value(File(TestData.folder, "tokenizers.json")).list().map { kind ->
            val name = kind.members()["name"] as String
            dynamicTest(name) { compare(kind.members()) }
        }

    private fun compare(kind: Map<String, Any?>) {
        val tokenizer = Tokenizer.read(File(kind["file"] as String))
        val texts = kind["encode"].list()
        assertTrue(texts.size > 300)
        for (case in texts.map { it.members() }) {
            val text = case["text"] as String
            assertEquals(case["ids"].ints().toList(), tokenizer.encode(text).toList(), "of: $text")
            case["without_special"]?.let {
                assertEquals(it.ints().toList(), tokenizer.encode(text, addSpecialTokens = false).toList(), text)
            }
            case["plain"]?.let {
                assertEquals(it.ints().toList(), tokenizer.encode(text, parseSpecial = false).toList(), text)
            }
        }
        for (case in kind["decode"].list().map { it.members() }) {
            val ids = case["ids"].ints()
            val stream = tokenizer.detokenizer()
            val pieces = ids.map { stream.push(it) } + stream.finish()
            case["pieces"]?.let { assertEquals(it.list(), pieces, "of ${ids.toList()}") }
            assertEquals(case["text"], pieces.joinToString(""), "of ${ids.toList()}")
            assertEquals(case["text"], tokenizer.decode(ids))
        }
        kind["labels"].list().forEachIndexed { id, label -> assertEquals(label, tokenizer.label(id)) }
    }

    @Test
    fun `text comes back, in pieces that hold no half character`() {
        val tokenizer = Tokenizer.read(sample)
        val random = Random(3)
        repeat(200) {
            val text = random.text(random.nextInt(40)).replace("\ufffd", "").replace("<|endoftext|>", "")
            val stream = tokenizer.detokenizer()
            val pieces = tokenizer.encode(text).map { stream.push(it) }
            assertEquals(text, pieces.joinToString(""))
            assertFalse(pieces.any { '\ufffd' in it })
            assertEquals("", stream.finish())
        }
    }

    @Test
    fun `a character cut off at the end becomes a replacement character`() {
        val tokenizer = Tokenizer.read(sample)
        val ids = tokenizer.encode("so 🙂")
        assertEquals("so \ufffd", tokenizer.decode(ids.copyOf(ids.size - 1)))
    }

    @Test
    fun `a lone surrogate is read as a question mark`() {
        val tokenizer = Tokenizer.read(sample)
        assertEquals("a?b?", tokenizer.decode(tokenizer.encode("a\udcffb\ud83d")))
    }

    @Test
    fun `a long text does not take quadratic time or a deep stack`() {
        val tokenizer = Tokenizer.read(sample)
        val text = "abc ".repeat(20_000) + "x".repeat(50_000)
        assertEquals(text, tokenizer.decode(tokenizer.encode(text)))
    }

    @Test
    fun `what is not supported is named`() {
        val plain = sample.readText()
        val pattern = "\"type\": \"ByteLevel\",\n    \"add_prefix_space\": false"
        assertTrue(pattern in plain)
        val cases =
            mapOf(
                plain.replace("\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}") to
                    "the normalizer 'NFC'",
                plain.replace(pattern, "\"type\": \"Whitespace\"") to "the pre_tokenizer 'Whitespace'",
                plain.replace("\"type\": \"BPE\"", "\"type\": \"WordPiece\"") to "the model 'WordPiece'",
                plain.replace("\"dropout\": null", "\"dropout\": 0.1") to "dropout",
                plain.replace("\"byte_fallback\": false", "\"byte_fallback\": true") to "byte_fallback",
                plain.replace(
                    Regex("\"end_of_word_suffix\": [^,]+"),
                    "\"end_of_word_suffix\": \"</w>\"",
                ) to "end_of_word_suffix",
            )
        val processor = Regex("\"post_processor\": \\{[^}]*\\}")
        val more =
            mapOf(
                "{\"type\": \"Surprise\"}" to "the post_processor 'Surprise'",
                "{\"type\": \"TemplateProcessing\", \"single\": []}" to "a template with the text 0 times",
            )
        assertEquals(6, cases.size, "every replacement replaced something")
        assertTrue(processor.containsMatchIn(plain))
        for ((content, named) in more) {
            assertContains(
                failure<PackageException> { read(processor.replace(plain, "\"post_processor\": $content")) },
                named,
                "byte-level BPE",
            )
        }
        for ((content, named) in cases) {
            assertTrue(content != plain, named)
            assertContains(failure<PackageException> { read(content) }, named, "byte-level BPE")
        }
    }

    @Test
    fun `a file that is no tokenizer`() {
        val contents =
            listOf(
                "",
                "{}",
                "not JSON",
                "[1]",
                "{\"model\": {\"type\": \"Unheard\"}}",
                sample.readText().dropLast(200),
                sample.readText() + "}",
                sample.readText().replace("\"id\": 0", "\"id\": -4"),
                sample.readText().replaceFirst("\"!\": ", "\"!\": 1e9, \"x\": "),
                sample.readText().replaceFirst("\"!\": ", "\"\\\"\": 7, \"!\": "), // one key twice
                sample.readText().replaceFirst("{", "{\"x\": ${"[".repeat(100_000)},"),
                sample.readText().replaceFirst("{", "{\"x\": ${"1".repeat(5_000)},"),
                sample.readText().replaceFirst("{", "{\"model\": {},"),
            )
        for (content in contents) {
            val file = File(temporary, "tokenizer.json")
            assertContains(failure<PackageException> { read(content) }, file.path)
        }
        File(temporary, "tokenizer.json").writeBytes(byteArrayOf('"'.code.toByte(), 0xff.toByte()))
        assertContains(
            failure<PackageException> { Tokenizer.read(File(temporary, "tokenizer.json")) },
            "is no tokenizer",
        )
    }

    @Test
    fun `an id far above the others takes no room for those between`() {
        val content = sample.readText().replaceFirst("\"added_tokens\": [", """"added_tokens": [
            {"id": 9999999, "content": "<far>", "special": false, "normalized": false},""")
        val before = Runtime.getRuntime().run { gc(); totalMemory() - freeMemory() }
        val tokenizer = read(content)
        val after = Runtime.getRuntime().run { gc(); totalMemory() - freeMemory() }
        assertTrue(after - before < 10_000_000, "${after - before} bytes")
        assertEquals("<far>", tokenizer.decode(tokenizer.encode("<far>")))
        assertEquals(9999999, tokenizer.encode("<far>").single())
    }

    private fun read(content: String): Tokenizer =
        Tokenizer.read(File(temporary, "tokenizer.json").apply { writeText(content) })
}
