package dev.gpt2edge

import com.sun.management.ThreadMXBean
import java.io.File
import java.lang.management.BufferPoolMXBean
import java.lang.management.ManagementFactory
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/** test-core.sh runs all tests with a Java heap of 64 MB; direct buffers count as heap on Android. */
class MemoryTest {
    private val heapLimit = 64L shl 20

    @Test
    fun `this Java machine has no more than 64 MB`() {
        assertTrue(Runtime.getRuntime().maxMemory() <= heapLimit)
    }

    @Test
    fun `a package larger than the heap writes, with its cache outside of it`() {
        val folder = TestData.packageFolder("large")
        Generator.load(folder).use { generator ->
            val opened = generator.modelPackage
            assertTrue(opened.modelBytes > 4 * heapLimit, "${opened.modelBytes}")
            assertTrue(opened.manifest.files.keys.any { it != "model.onnx" && it.startsWith("model.onnx") })
            val before = directBytes()
            var during = 0L
            val result =
                generator.streamIds(IntArray(300) { it * 7 }, GenerationConfig(8, ignoreEos = true)) {
                    during = maxOf(during, directBytes() - before)
                }
            assertEquals(8, result.ids.size)
            val vocabulary = opened.manifest.architecture.vocabSize
            assertTrue(during < 4L * vocabulary + 20_000, "$during bytes of direct buffers")
            assertTrue(generator.selfTest().passed, generator.selfTest().message)
        }
    }

    @Test
    fun `a step allocates little, however large the vocabulary`() {
        val bean = ManagementFactory.getThreadMXBean() as ThreadMXBean
        Generator.load(TestData.packageFolder("large")).use { generator ->
            val greedy = GenerationConfig(12, ignoreEos = true)
            val sampling =
                greedy.copy(temperature = 0.8f, topK = 40, repetitionPenalty = 1.1f, seed = 1)
            val everything =
                sampling.copy(
                    minP = 0.01f,
                    typicalP = 0.9f,
                    presencePenalty = 0.1f,
                    frequencyPenalty = 0.1f,
                    noRepeatNgramSize = 2,
                    badWordsIds = listOf(listOf(1, 2)),
                    logitBias = mapOf(3 to 1f),
                    minNewTokens = 12,
                    logprobs = true,
                    topLogprobs = 3,
                )
            for (config in listOf(greedy, sampling, everything)) {
                val allocated = ArrayList<Long>()
                val thread = Thread.currentThread().id
                generator.streamIds(intArrayOf(1, 2, 3), config) {
                    allocated.add(bean.getThreadAllocatedBytes(thread))
                }
                val perStep = allocated.zipWithNext { a, b -> b - a }.drop(2).maxOrNull()!!
                // One row of this vocabulary's logits would be 201,028 bytes.
                assertTrue(perStep < 16_384, "$perStep bytes")
            }
        }
    }

    @Test
    fun `what the cache takes`() {
        val float32 = ModelPackage.open(TestData.packageFolder("int4"))
        assertEquals(2L * 6 * 4 * 64 * 100 * 4, float32.cacheBytes(100))
        val float16 = ModelPackage.open(TestData.packageFolder("int4-float16-cache"))
        assertEquals(float32.cacheBytes(100) / 2, float16.cacheBytes(100))
        val int8 = ModelPackage.open(TestData.packageFolder("int4-int8-cache"))
        assertEquals(float32.cacheBytes(100) / 4, int8.cacheBytes(100))
    }

    /** In a process of its own: this one has memory from other tests that it would use again. */
    @TestFactory
    fun `loading and writing take no more than is asked for, and not much less`(): List<DynamicTest> =
        listOf("large", "large-int4").map { name ->
            dynamicTest(name) {
                val folder = TestData.packageFolder(name)
                val tokens = ModelPackage.open(folder).manifest.architecture.contextLength
                val asked = ModelPackage.open(folder).memoryBytes(tokens)
                val taken = probe(folder)
                assertTrue(taken in asked / 2..asked, "${megabytes(taken)} of ${megabytes(asked)}")
            }
        }

    @Test
    fun `a package for which there is no room is refused with both figures`() {
        val folder = TestData.packageFolder("int4")
        val needed = ModelPackage.open(folder).memoryBytes(512)
        val message =
            failure<MemoryException> { Generator.load(folder, availableMemory = needed - 1).close() }
        assertContains(message, "${megabytes(needed)} of memory", "smaller recipe")
        assertContains(
            failure<MemoryException> { Generator.load(folder, availableMemory = 3_000_000).close() },
            "3.0 MB are free",
        )
        Generator.load(folder, availableMemory = needed).close()
    }

    @Test
    fun `a cache that cannot be allocated is an error of one line`() {
        val opened = ModelPackage.open(TestData.packageFolder("int4"))
        Session(opened, 1).use { session ->
            val shape = longArrayOf(1, 1L shl 20, 1L shl 20, 64)
            val message = failure<MemoryException> { session.zeros.allocate(2, shape) }
            assertContains(message, "there is no memory for a cache of 1048576 tokens")
            session.start(10).use { it.feed(1) } // and the session still works
        }
    }

    /** What MemoryProbe.kt prints; its Java heap is there before it counts. */
    private fun probe(folder: File): Long {
        val heap = listOf("-Xms24m", "-Xmx24m", "-XX:+UseSerialGC", "-XX:+AlwaysPreTouch")
        val process = javaProcess("MemoryProbeKt", heap, folder.path).start()
        val printed = process.inputStream.bufferedReader().readText()
        assertEquals(0, process.waitFor())
        return printed.trim().toLong()
    }

    private fun directBytes(): Long =
        ManagementFactory.getPlatformMXBeans(BufferPoolMXBean::class.java)
            .single { it.name == "direct" }
            .memoryUsed
}
