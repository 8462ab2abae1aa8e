package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** What an application reads of an error to word it itself. */
class ProblemTest {
    @TempDir lateinit var temporary: File

    @Test
    fun `of packages`() {
        assertEquals(Problem.NoPackage(File("/none")), of { Generator.load(File("/none")) })
        assertEquals(Problem.NoPackage(temporary), of { Generator.load(temporary) })
        damaged("missing") { folder ->
            File(folder, "tokenizer.json").delete()
            Problem.FileMissing(File(folder, "tokenizer.json"))
        }
        damaged("short") { folder ->
            File(folder, "model.onnx").run { writeBytes(readBytes().copyOf(1000)) }
            Problem.FileDamaged(File(folder, "model.onnx"))
        }
        damaged("changed") { folder ->
            File(folder, "tokenizer.json").run { writeBytes(readBytes().also { it[99] = 0 }) }
            Problem.FileDamaged(File(folder, "tokenizer.json"))
        }
        damaged("newer") { folder ->
            TestData.editManifest(folder, "\"format_version\": 1", "\"format_version\": 9")
            Problem.NewerPackage(File(folder, MANIFEST_FILE))
        }
        damaged("later runtime") { folder ->
            TestData.changeManifest(folder) { it["graph"].changeable()["min_onnxruntime"] = "99.1" }
            Problem.OlderOnnxRuntime("99.1", ai.onnxruntime.OrtEnvironment.getEnvironment().version)
        }
        damaged("settings") { folder ->
            File(folder, "generation_config.json").writeText("{\"top_p\": 7}")
            TestData.listAnew(folder, "generation_config.json")
            Problem.FileDamaged(File(folder, "generation_config.json"))
        }
        assertEquals(Problem.OtherFlavour("portable"), of { Generator.load(TestData.packageFolder("portable")) })
        val folder = TestData.packageFolder("int4")
        val needed = ModelPackage.open(folder).let { it.memoryBytes(it.manifest.architecture.contextLength) }
        assertEquals(Problem.TooLarge(needed, 5), of { Generator.load(folder, availableMemory = 5) })
        assertEquals(Problem.OutOfRange("threads", "-1"), of { Generator.load(folder, threads = -1) })
    }

    @Test
    fun `of calls`() {
        Generator.load(TestData.packageFolder("int4")).use { generator ->
            val vocabulary = generator.modelPackage.manifest.architecture.vocabSize
            val config = GenerationConfig(3)
            assertEquals(Problem.NoPrompt, of { generator.generate("", config) })
            assertEquals(Problem.PromptTooLong(600, 512), of { generator.streamIds(IntArray(600) { 5 }, config) })
            assertEquals(Problem.UnknownToken(vocabulary, vocabulary), of { generator.streamIds(intArrayOf(vocabulary), config) })
            assertEquals(Problem.OutOfRange("k", "0"), of { generator.nextTokens("The", 0) })
            assertEquals(Problem.OutOfRange("topP", "1.5"), of { GenerationConfig(topP = 1.5f) })
            val none = GenerationConfig(3, suppressTokens = (0 until vocabulary).toList())
            assertEquals(Problem.EveryTokenForbidden, of { generator.generate("The", none) })
            val outside = GenerationConfig(3, suppressTokens = listOf(vocabulary))
            assertEquals(Problem.UnknownToken(vocabulary, vocabulary), of { generator.generate("The", outside) })
        }
        Generator.load(TestData.packageFolder("no-tokenizer")).use { bare ->
            assertEquals(Problem.NoTokenizer, of { bare.generate("The", GenerationConfig(3)) })
        }
        val closed = Generator.load(TestData.packageFolder("int4")).also { it.close() }
        assertEquals(Problem.Closed, of { closed.generate("The", GenerationConfig(3)) })
    }

    private fun damaged(name: String, damage: (File) -> Problem) {
        val folder = TestData.copyOf("int4", File(temporary, name))
        assertEquals(damage(folder), of { Generator.load(folder).close() }, name)
    }

    private fun of(work: () -> Unit): Problem = assertThrows(GPT2EdgeException::class.java) { work() }.problem
}
