package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

/** spec/manifests.json and spec/tokenizers.json, which Python and the browser module run too. */
class SpecTest {
    @TempDir lateinit var temporary: File

    @TestFactory
    fun `manifests that are refused in one line, before anything runs`() =
        manifests("refused") { folder, case ->
            val message = failure<PackageException> { Generator.load(folder).close() }
            assertContains(message, case["names"] as String)
            // Also where memory is counted first, as the application does.
            failure<PackageException> { Generator.load(folder, availableMemory = 4L shl 30).close() }
        }

    @TestFactory
    fun `manifests that are borne`() =
        manifests("borne") { folder, _ ->
            Generator.load(folder).use {
                assertEquals(2, it.stream("The animal", GenerationConfig(2, ignoreEos = true)) {}.ids.size)
            }
        }

    private fun manifests(kind: String, test: (File, Map<String, Any?>) -> Unit): List<DynamicTest> {
        val cases = TestData.spec("manifests")[kind].list().map { it.members() }
        assertTrue(cases.size > 5)
        return cases.mapIndexed { index, case ->
            dynamicTest(case["name"] as String) {
                val folder = TestData.copyOf("int4", File(temporary, "$kind-$index"))
                TestData.changeManifest(folder) { manifest ->
                    for (change in case["change"].list().map { it.list() }) change(manifest, change)
                }
                test(folder, case)
            }
        }
    }

    private fun change(manifest: MutableMap<String, Any?>, change: List<Any?>) {
        val path = change[1].list().map { it as String }
        val last = path.dropLast(1).fold(manifest) { members, key -> members[key].changeable() }
        when (change[0]) {
            "set" -> last[path.last()] = change[2]
            "delete" -> assertTrue(path.last() in last).also { last.remove(path.last()) }
            else -> error("unknown change ${change[0]}")
        }
    }

    @TestFactory
    fun `tokenizers, as transformers`(): List<DynamicTest> {
        val kinds = TestData.spec("tokenizers")["tokenizers"].list().map { it.members() }
        assertTrue(kinds.count { it["kind"] == "byte_level_bpe" } >= 4)
        return kinds.mapIndexed { index, kind ->
            dynamicTest(kind["name"] as String) {
                val file = File(temporary, "tokenizer-$index.json").apply { writeText(toJson(kind["tokenizer"])) }
                if (kind["kind"] == "byte_level_bpe") {
                    tokenizer(Tokenizer.read(file), kind)
                } else {
                    assertContains(failure<PackageException> { Tokenizer.read(file) }, file.path, "byte-level BPE")
                }
            }
        }
    }

    private fun tokenizer(tokenizer: Tokenizer, kind: Map<String, Any?>) {
        fun pieces(ids: IntArray): String {
            val stream = tokenizer.detokenizer()
            return ids.map { stream.push(it) }.joinToString("") + stream.finish()
        }
        val texts = kind["encode"].list().map { it.members() }
        assertTrue(texts.size > 4)
        for (case in texts) {
            val text = case["text"] as String
            fun same(name: String, ids: IntArray) = assertEquals(case[name].ints().toList(), ids.toList(), "$name of: $text")
            same("ids", tokenizer.encode(text))
            same("without_special", tokenizer.encode(text, addSpecialTokens = false))
            same("plain", tokenizer.encode(text, parseSpecial = false))
            assertEquals(case["decoded"], tokenizer.decode(case["ids"].ints()), "decoded of: $text")
            assertEquals(case["decoded"], pieces(case["ids"].ints()))
        }
        for (case in kind["decode"].list().map { it.members() }) {
            assertEquals(case["decoded"], tokenizer.decode(case["ids"].ints()))
            assertEquals(case["decoded"], pieces(case["ids"].ints()))
        }
    }
}
