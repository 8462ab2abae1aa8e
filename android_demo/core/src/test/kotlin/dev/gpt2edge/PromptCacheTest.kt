package dev.gpt2edge

import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class PromptCacheTest {
    private val config = GenerationConfig(12, ignoreEos = true)
    private val prompt = generator.encode("Once upon a time there was a king who had three sons and")

    @Test
    fun `a prompt read through a cache writes what it writes without one`() {
        generator.newCache().use { cache ->
            val first = generator.streamIds(prompt, config, cache = cache)
            assertEquals(generator.streamIds(prompt, config).ids.toList(), first.ids.toList())
            // All but the last token of the text, which nothing was computed from.
            assertEquals(prompt.toList() + first.ids.dropLast(1), cache.ids.toList())
            val again = generator.streamIds(prompt, config, cache = cache)
            assertEquals(first.ids.toList(), again.ids.toList())
            val other = prompt.copyOf(9) + generator.encode(" quite another end of it")
            assertEquals(generator.streamIds(other, config).ids.toList(), generator.streamIds(other, config, cache = cache).ids.toList())
        }
    }

    @Test
    fun `of a prompt only what is new is read`() {
        // Not by time, which a test cannot trust: what the cache holds is made to differ from the prompt.
        val long = IntArray(400) { it % 200 }
        generator.newCache().use { cache ->
            generator.nextTokens(long, 3, cache = cache)
            val asked = generator.logits(long + 7, cache)
            assertEquals(401, cache.ids.size)
            val step = generator.logits(long + 7)
            val difference = asked.indices.maxOf { Math.abs(asked[it] - step[it]) }
            assertTrue(difference < 1f, "a step rounds otherwise, by no more than $difference")
            // The very answer of the call before, without a step.
            assertEquals(asked.toList(), generator.logits(long + 7, cache).toList())
            assertEquals(401, cache.ids.size)
            cache.trim(100)
            assertEquals(long.take(100), cache.ids.toList())
            assertEquals(401, generator.logits(long + 8, cache).let { cache.ids.size })
        }
    }

    @Test
    fun `a cache serves one call at a time, its own generator, and until it is closed`() {
        val cache = generator.newCache()
        val running = CountDownLatch(1)
        val asked = CountDownLatch(1)
        val worker = thread {
            generator.streamIds(prompt, config, cache = cache) {
                running.countDown()
                asked.await(30, TimeUnit.SECONDS)
            }
        }
        assertTrue(running.await(30, TimeUnit.SECONDS))
        assertEquals(Problem.CacheInUse, problem { generator.nextTokens(prompt, 3, cache = cache) })
        assertEquals(Problem.CacheInUse, problem { cache.trim(0) })
        asked.countDown()
        worker.join()
        assertEquals(3, generator.nextTokens(prompt, 3, cache = cache).size)
        assertEquals(Problem.OutOfRange("length", "99"), problem { cache.trim(99) })
        Generator.load(TestData.packageFolder("int8")).use { other ->
            assertEquals(Problem.OtherCache, problem { other.nextTokens(prompt, 3, cache = cache) })
        }
        cache.close()
        cache.close()
        assertEquals(Problem.OtherCache, problem { generator.nextTokens(prompt, 3, cache = cache) })
    }

    @Test
    fun `a cache may be closed after its generator`() {
        val other = Generator.load(TestData.packageFolder("int4"))
        val cache = other.newCache()
        other.nextTokens(prompt, 3, cache = cache)
        other.close()
        assertEquals(Problem.Closed, problem { other.nextTokens(prompt, 3, cache = cache) })
        cache.close()
    }

    @Test
    fun `a window slides in a cache as without one`() {
        val sliding = GenerationConfig(40, contextOverflow = "slide", keep = 3, ignoreEos = true)
        val long = IntArray(500) { (it * 7) % 300 }
        generator.newCache().use { cache ->
            val expected = generator.streamIds(long, sliding).ids.toList()
            assertEquals(expected, generator.streamIds(long, sliding, cache = cache).ids.toList())
        }
    }

    private fun problem(work: () -> Unit): Problem =
        assertThrows(GPT2EdgeException::class.java) { work() }.problem

    private companion object {
        val generator = Generator.load(TestData.packageFolder("int4"))

        @JvmStatic @AfterAll fun close() = generator.close()
    }
}
