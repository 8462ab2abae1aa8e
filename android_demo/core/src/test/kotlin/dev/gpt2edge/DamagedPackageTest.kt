package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** Every way in which a package can be wrong is one readable line. */
class DamagedPackageTest {
    @TempDir lateinit var temporary: File
    private lateinit var folder: File

    @BeforeEach
    fun copy() {
        folder = TestData.copyOf("int4", File(temporary, "package"))
    }

    private fun problem(verify: Boolean = true): String =
        failure<PackageException> { Generator.load(folder, verify = verify).close() }

    private fun edit(old: String, new: String) = TestData.editManifest(folder, old, new)

    private fun listAnew(name: String) = TestData.listAnew(folder, name)

    @Test
    fun `an untouched copy loads`() {
        Generator.load(folder).use { assertTrue(it.selfTest().passed) }
    }

    @Test
    fun `no folder and no manifest`() {
        File(folder, MANIFEST_FILE).delete()
        assertContains(problem(), folder.path, "has no manifest.json")
        folder = File(temporary, "nothing")
        assertContains(problem(), "no such package folder")
    }

    @Test
    fun `a wrong hash`() {
        val model = File(folder, "model.onnx")
        val bytes = model.readBytes()
        bytes[bytes.size / 2] = (bytes[bytes.size / 2] + 1).toByte()
        model.writeBytes(bytes)
        assertContains(problem(), model.path, "is damaged: its SHA-256 is", "the manifest says")
    }

    @Test
    fun `hashes are not read where nobody asks`() {
        edit(File(folder, "model.onnx").sha256(), "0".repeat(64))
        Generator.load(folder, verify = false).close()
        assertContains(problem(), "its SHA-256 is")
        assertContains(failure<PackageException> { ModelPackage.open(folder) }, "its SHA-256 is")
        assertEquals("sample", ModelPackage.open(folder, verifyHashes = false).manifest.name)
    }

    @Test
    fun `a missing file`() {
        File(folder, "tokenizer.json").delete()
        assertContains(problem(), File(folder, "tokenizer.json").path, "is missing")
    }

    @Test
    fun `a truncated model`() {
        val model = File(folder, "model.onnx")
        val bytes = model.readBytes()
        model.writeBytes(bytes.copyOf(bytes.size - 1000))
        val sizes = "has ${bytes.size - 1000} bytes, the manifest says ${bytes.size}"
        assertContains(problem(), model.path, sizes)
        listAnew("model.onnx")
        assertContains(problem(), model.path, "is no ONNX file that can be read", "ends in the middle")
    }

    @Test
    fun `a newer format`() {
        edit("\"format_version\": 1", "\"format_version\": 2")
        assertContains(problem(), "has format version 2; this gpt2-edge reads up to 1")
    }

    @Test
    fun `a newer format in which everything is different`() {
        File(folder, MANIFEST_FILE).writeText("{\"format_version\": 9}")
        assertContains(problem(), "has format version 9")
    }

    @Test
    fun `a newer ONNX Runtime wanted`() {
        edit("\"min_onnxruntime\": \"1.23\"", "\"min_onnxruntime\": \"1.99\"")
        assertContains(problem(), "needs ONNX Runtime 1.99 or later, this is 1.")
    }

    @Test
    fun `an older ONNX Runtime with a longer number is fine`() {
        edit("\"min_onnxruntime\": \"1.23\"", "\"min_onnxruntime\": \"1.9.300\"")
        Generator.load(folder).close()
        edit("\"min_onnxruntime\": \"1.9.300\"", "\"min_onnxruntime\": \"soon\"")
        assertContains(problem(), "min_onnxruntime is 'soon'; it must be a version")
    }

    @Test
    fun `an operator set that this ONNX Runtime lacks`() {
        folder = TestData.packageFolder("newer-operators")
        assertContains(problem(), "model.onnx cannot be loaded by ONNX Runtime 1.", "pset 99")
    }

    @Test
    fun `an operator that this ONNX Runtime lacks`() {
        val model = File(folder, "model.onnx")
        val name = "GroupQueryAttention".toByteArray()
        val bytes = model.readBytes()
        var replaced = 0
        for (start in 0..bytes.size - name.size) {
            if (name.indices.all { bytes[start + it] == name[it] }) {
                "FromFutureAttention".toByteArray().copyInto(bytes, start)
                replaced++
            }
        }
        assertTrue(replaced > 0)
        model.writeBytes(bytes)
        listAnew("model.onnx")
        assertContains(problem(), model.path, "cannot be loaded by ONNX Runtime", "FromFutureAttention")
    }

    @Test
    fun `a manifest that is no JSON, or has holes`() {
        val manifest = File(folder, MANIFEST_FILE)
        val whole = manifest.readText()
        val broken =
            mapOf(
                "" to "cannot be read as JSON",
                whole.dropLast(30) to "cannot be read as JSON",
                "[]" to "has no format_version",
                whole.replace("\"num_heads\": 4", "\"num_heads\": \"4\"") to
                    "manifest.architecture.num_heads is '4'",
                whole.replace("\"num_heads\": 4,", "") to "manifest.architecture.num_heads is missing",
                whole.replace("\"num_heads\": 4", "\"num_heads\": 0") to "num_heads is 0",
                whole.replace("\"num_heads\": 4", "\"num_heads\": 4294967300") to "num_heads is 4294967300",
                whole.replace("\"cache_dtype\": \"float32\"", "\"cache_dtype\": \"int2\"") to
                    "graph.cache_dtype 'int2'; this gpt2-edge knows float32, float16, int8",
                whole.replace("\"shared\"", "\"paged\"") to "graph.cache 'paged'",
                whole.replace("\"eos_token_ids\": [", "\"eos_token_ids\": [true,") to
                    "manifest.eos_token_ids has true",
                whole.replace("\"name\": \"int4\"", "\"name\": 4") to "manifest.recipe.name is 4",
                whole.replaceFirst("\"bits\": 8", "\"bits\": \"8\"") to
                    "manifest.recipe.embedding_and_head.bits is '8'",
            )
        assertEquals(12, broken.size)
        for ((content, expected) in broken) {
            manifest.writeText(content)
            assertContains(problem(), manifest.path, expected)
        }
        manifest.writeBytes(byteArrayOf(0x22, 0xff.toByte(), 0x22))
        assertContains(problem(), "cannot be read as JSON")
    }

    @Test
    fun `names that lead out of the package`() {
        edit("\"README.md\": {", "\"../README.md\": {")
        assertContains(problem(), "'../README.md', which is outside the package")
    }

    @Test
    fun `a model that the manifest does not list`() {
        edit("\"file\": \"model.onnx\"", "\"file\": \"other.onnx\"")
        assertContains(problem(), "the manifest uses 'other.onnx' but does not list it")
    }

    @Test
    fun `a graph that is not the one described`() {
        edit("\"num_layers\": 6", "\"num_layers\": 7")
        assertContains(problem(), "has no input 'past_key_values.6.key'")
        edit("\"num_layers\": 7", "\"num_layers\": 5")
        assertContains(problem(), "needs the input 'past_key_values.5.key'")
        edit("\"num_layers\": 5", "\"num_layers\": 6")
        edit("\"head_size\": 64", "\"head_size\": 128")
        assertContains(problem(), "has other heads than the manifest says (num_heads 4, head_size 128)")
        edit("\"head_size\": 128", "\"head_size\": 64")
        edit("\"vocab_size\": 8192", "\"vocab_size\": 8191")
        assertContains(problem(), "has another vocabulary than the manifest says (vocab_size 8191)")
        edit("\"vocab_size\": 8191", "\"vocab_size\": 8192")
        edit("\"cache_dtype\": \"float32\"", "\"cache_dtype\": \"float16\"")
        assertContains(problem(), "as float32, the manifest says float16")
    }

    @Test
    fun `a flavour for other runtimes`() {
        for ((name, cache) in mapOf("portable" to "concat", "static" to "host")) {
            folder = TestData.packageFolder(name)
            assertContains(
                problem(),
                File(folder, MANIFEST_FILE).path,
                "of the flavour '$name' (graph.cache '$cache')",
                "export the model with --flavour fused",
            )
        }
    }

    @Test
    fun `a recipe, by group and layer by layer`() {
        fun recipe(name: String) = ModelPackage.open(TestData.packageFolder(name)).manifest.recipe
        assertEquals("int4", recipe("int4").name)
        assertEquals(8, recipe("int4").formats.getValue("embedding_and_head").bits)
        assertEquals(MatrixFormat(8, null), recipe("int8-row").formats["mlp.c_fc"])
        val mixed = recipe("mixed")
        assertEquals("mixed", mixed.name)
        assertEquals(MatrixFormat(4, 64), mixed.formats["attn.c_attn"])
        assertEquals(
            listOf(MatrixFormat(8, null), MatrixFormat(4, 64), MatrixFormat(8, 32)),
            listOf(0, 1, 5).map { mixed.formats["h.$it.mlp.c_proj"] },
        )
    }

    @Test
    fun `a self-test that fails says what differs`() {
        val manifest = File(folder, MANIFEST_FILE)
        val text = manifest.readText()
        val (id, logit) = Regex("\"logits\": \\{\\s*\"([0-9]+)\": ([-0-9.]+)").find(text)!!.destructured
        edit("\"$id\": $logit", "\"$id\": 99.5")
        Generator.load(folder).use {
            val report = it.selfTest()
            assertEquals(false, report.passed)
            assertContains(report.message, "logit of token $id is", "expected 99.5")
        }
        edit("\"self_test\": {", "\"was_self_test\": {")
        Generator.load(folder).use {
            assertEquals(SelfTestReport(false, "the manifest has no self-test"), it.selfTest())
        }
    }
}
