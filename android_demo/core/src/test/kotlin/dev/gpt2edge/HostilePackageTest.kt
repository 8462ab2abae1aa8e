package dev.gpt2edge

import java.io.File
import java.io.RandomAccessFile
import java.nio.file.Files
import kotlin.random.Random
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** What comes from strangers is refused in one line: files elsewhere, files unlisted, false sizes. */
class HostilePackageTest {
    @TempDir lateinit var temporary: File
    private lateinit var folder: File

    @BeforeEach
    fun copy() = use("int4")

    private fun use(name: String) {
        folder = File(temporary, "package")
        folder.deleteRecursively()
        TestData.copyOf(name, folder)
    }

    private fun problem(verify: Boolean = true): String =
        failure<PackageException> { Generator.load(folder, verify = verify).close() }

    private fun changeManifest(change: (MutableMap<String, Any?>) -> Unit) = TestData.changeManifest(folder, change)

    private fun link(name: String, target: File) {
        File(folder, name).delete()
        Files.createSymbolicLink(File(folder, name).toPath(), target.toPath())
    }

    @Test
    fun `links out of the package are refused, whatever they lead to`() {
        for (name in listOf("model.onnx", "tokenizer.json", "generation_config.json", "README.md")) {
            use("int4")
            val outside = File(temporary, "outside").apply { delete() }
            File(folder, name).copyTo(outside)
            link(name, outside)
            assertContains(problem(), File(folder, name).path, "a link to a file outside the package")
            link(name, File("../outside"))
            assertContains(problem(verify = false), "a link to a file outside the package")
        }
        use("int4")
        link("tokenizer.json", File("nowhere"))
        assertContains(problem(), "tokenizer.json is missing")
        link("tokenizer.json", File("tokenizer.json"))
        assertContains(problem(), "tokenizer.json")
    }

    @Test
    fun `a link within the package, and one to the package, are fine`() {
        File(folder, "tokenizer.json").renameTo(File(folder, "the tokenizer"))
        link("tokenizer.json", File("the tokenizer"))
        val other = File(temporary, "link").toPath()
        Files.createSymbolicLink(other, folder.toPath())
        Generator.load(other.toFile()).use { assertTrue(it.selfTest().passed) }
    }

    @Test
    fun `what is no regular file is refused`() {
        File(folder, "tokenizer.json").run { delete() && mkdir() }
        assertContains(problem(), "tokenizer.json is no regular file")
        use("int4")
        File(folder, MANIFEST_FILE).run { delete() && mkdir() }
        assertContains(problem(), "it is no regular file")
        link(MANIFEST_FILE, File("/dev/zero"))
        assertContains(problem(), "it is no regular file")
    }

    @Test
    fun `weights in a file of another name are hashed like any others`() {
        use("other-weights")
        val weights = File(folder, "weights.bin")
        Generator.load(folder).use {
            assertTrue(it.selfTest().passed)
            val opened = it.modelPackage
            assertTrue("weights.bin" in opened.runtimeFiles() && "generation_config.json" in opened.runtimeFiles())
            assertEquals(weights.length() + File(folder, "model.onnx").length(), opened.modelBytes)
        }
        RandomAccessFile(weights, "rw").use { it.write(7) }
        assertContains(problem(), weights.path, "is damaged: its SHA-256")
    }

    @Test
    fun `weights that the manifest does not list are refused`() {
        use("other-weights")
        changeManifest { it["files"].changeable().remove("weights.bin") }
        assertContains(problem(), "has weights in 'weights.bin', which the manifest does not list")
        use("large")
        changeManifest { it["files"].changeable().remove("model.onnx_data") }
        assertContains(problem(verify = false), "'model.onnx_data', which the manifest does not list")
    }

    @Test
    fun `weights outside the folder are refused, under any path`() {
        for (path in listOf("../ghts.bin", "/eights.bin", "a/ights.bin", "*/_ORT_ADDR")) {
            use("other-weights")
            rename("weights.bin", path)
            assertContains(problem(), "has weights in ${shown(path)}, which the manifest does not list")
            rename(path, "x\n\u001b[2Jx.bin".padEnd(11).take(11))
            assertContains(problem(), "has weights in 'x\\n\\x1b[2Jx")
        }
    }

    /** In the graph, where both names have as many bytes. */
    private fun rename(from: String, to: String) {
        val model = File(folder, "model.onnx")
        val before = model.readBytes().toString(Charsets.ISO_8859_1)
        assertEquals(from.length, to.length)
        assertTrue(from in before)
        model.writeBytes(before.replace(from, to).toByteArray(Charsets.ISO_8859_1))
        TestData.listAnew(folder, "model.onnx")
    }

    @Test
    fun `a graph whose inputs are not the format's is refused before it runs`() {
        val cases =
            mapOf(
                "fixed-length" to listOf("has the input 'input_ids' with the shape [-1, 1]"),
                "ids-of-32-bits" to listOf("has the input 'input_ids' as int32, the manifest says int64"),
                "more-inputs" to listOf("needs the input 'surprise'"),
            )
        for ((name, expected) in cases) {
            use(name)
            assertContains(problem(), *expected.toTypedArray())
        }
    }

    @Test
    fun `a position table that a node computes is tried at its last row`() {
        use("computed-positions")
        Generator.load(folder).use { assertTrue(it.selfTest().passed) }
        changeManifest { it["architecture"].changeable()["context_length"] = 513 }
        assertContains(problem(), "cannot compute position 512, which the manifest's context_length promises")
    }

    @Test
    fun `a hidden size other than that of the graph is refused`() {
        changeManifest { it["architecture"].changeable()["hidden_size"] = 255 }
        assertContains(problem(), "the manifest says hidden_size 255")
    }

    @Test
    fun `manifests that no parser likes`() {
        val whole = File(folder, MANIFEST_FILE).readText()
        val tolerance = Regex("\"tolerance\": [0-9.]+")
        val cases =
            mapOf(
                "[".repeat(100_000) to "nested deeper",
                "{\"a\":".repeat(100_000) to "nested deeper",
                "{\"format_version\": ${"1".repeat(5000)}}" to "too many digits",
                "{\"format_version\": 1, \"format_version\": 1}" to "the key 'format_version' twice",
                whole.replaceFirst("{", "{\"name\": \"x\",") to "the key 'name' twice",
                "\ufeff$whole" to "'\\ufeff' is no value",
                "{\"x\": [${"{},".repeat(1_100_000)}{}]}" to "too many values",
                "{\"format_version\": 1e400}" to "format_version",
                whole.replace("\"num_layers\": 6", "\"num_layers\": ${"9".repeat(4000)}") to "num_layers is 9999",
                whole.replace("\"num_layers\": 6", "\"num_layers\": 6.0") to "num_layers is 6.0",
                whole.replace(tolerance, "\"tolerance\": NaN") to "tolerance is NaN",
                whole.replace(tolerance, "\"tolerance\": ${"9".repeat(400)}") to "tolerance is 9999",
                whole.replace("\"min_onnxruntime\": \"1.23\"", "\"min_onnxruntime\": \"1${".1".repeat(50_000)}\"") to "it must be a version",
                whole.replace("\"name\": \"int4\"", "\"name\": {\"a\": [\"${"x".repeat(100_000)}\"]}") to "recipe.name is an object",
            )
        assertEquals(14, cases.size)
        for ((content, expected) in cases) {
            assertTrue(content != whole, expected)
            File(folder, MANIFEST_FILE).writeText(content)
            assertContains(problem(), File(folder, MANIFEST_FILE).path, expected)
        }
    }

    @Test
    fun `a manifest of gigabytes is refused by its size`() {
        RandomAccessFile(File(folder, MANIFEST_FILE), "rw").use { it.setLength(16L shl 30) }
        assertContains(problem(), "it has more than 8 MB")
    }

    @Test
    fun `generation_config json is one line too, whatever it holds`() {
        val contents = listOf("", "[]", "{", "{\"temperature\": {}}", "{\"top_k\": 1.5}", "{\"top_p\": NaN}",
            "{\"max_new_tokens\": 0}", "{\"do_sample\": \"\u2028\"}", "[".repeat(5000))
        for (content in contents) {
            File(folder, "generation_config.json").writeText(content)
            TestData.listAnew(folder, "generation_config.json")
            assertContains(problem(), File(folder, "generation_config.json").path)
        }
        File(folder, "generation_config.json").writeText("{\"top_k\": 3}")
        assertContains(problem(), "bytes, the manifest says")
        TestData.listAnew(folder, "generation_config.json")
        changeManifest { it["files"].changeable()["generation_config.json"].changeable()["sha256"] = "0".repeat(64) }
        assertContains(problem(), "generation_config.json is damaged: its SHA-256")
    }

    @Test
    fun `a generation_config json that is not listed does not count`() {
        File(folder, "generation_config.json").writeText("{\"top_k\": \"a lie\"}")
        changeManifest { it["files"].changeable().remove("generation_config.json") }
        Generator.load(folder).use { assertEquals(GenerationConfig(), it.generationConfig) }
    }

    @Test
    fun `names that are no file's own are refused`() {
        for (name in listOf("..", ".", "a/b", "a\\b", "c:x", "x\u0000", "x\n", "\ud800", "x".repeat(300))) {
            use("int4")
            changeManifest { it["files"].changeable()[name] = mapOf("bytes" to 1, "sha256" to "0".repeat(64)) }
            assertContains(problem(), "lists ${shown(name)}, which is outside the package or no file's name")
        }
    }

    @Test
    fun `names of inputs are what they are, and each once`() {
        for ((key, name) in listOf("past_key" to "past.key", "past_key" to "{i}{i}", "past_value" to "past_key_values.{i}.key",
            "present_key" to "", "input_ids" to "in{i}", "logits" to "present.{i}.key", "attention_mask" to "position_ids")) {
            use("int4")
            changeManifest { it["graph"].changeable()["names"].changeable()[key] = name }
            assertContains(problem(), "manifest.graph.names")
        }
    }

    @Test
    fun `a graph with any byte changed is refused or works, in one line`() {
        val model = File(folder, "model.onnx")
        val whole = model.readBytes()
        val random = Random(11)
        // Names, types and shapes of inputs and outputs are at the end, nodes at the beginning.
        val places = List(40) { random.nextInt(8_000) } + List(60) { whole.size - 1 - random.nextInt(3_000) }
        for (place in places) {
            val changed = whole.clone()
            changed[place] = (changed[place].toInt() xor (1 shl random.nextInt(8))).toByte()
            model.writeBytes(changed)
            TestData.listAnew(folder, "model.onnx")
            try {
                Generator.load(folder).use { it.stream("The animal", GenerationConfig(2)) {} }
            } catch (error: GPT2EdgeException) {
                val message = error.message!!
                assertEquals(message, oneLine(message))
            }
        }
    }
}
