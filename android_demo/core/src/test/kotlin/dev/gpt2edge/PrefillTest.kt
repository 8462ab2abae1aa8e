package dev.gpt2edge

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.TestFactory

class PrefillTest {
    @TestFactory
    fun `a prompt in chunks gives the logits of one step, to the bit`(): List<DynamicTest> =
        listOf("int8", "int8-row", "int4", "int4-float16-cache", "int4-int8-cache").map { name ->
            dynamicTest(name) {
                Generator.load(TestData.packageFolder(name)).use { generator ->
                    for (length in listOf(2, 17, 40, 129, 145)) {
                        val ids = IntArray(length) { (it * 37 + length) % 8192 }
                        val whole = generator.logits(ids)
                        for (chunk in listOf(1, 7, 16, 64, 100)) {
                            assertArrayEquals(whole, generator.logits(ids, chunk), "$length in ${chunk}s")
                        }
                    }
                }
            }
        }

    @TestFactory
    fun `a sequence goes on after a cancelled prefill`(): List<DynamicTest> =
        listOf("int4").map { name ->
            dynamicTest(name) {
                val opened = ModelPackage.open(TestData.packageFolder(name))
                Session(opened, 0).use { session ->
                    val ids = IntArray(90) { it }
                    session.start(90).use { sequence ->
                        var asked = 0
                        assertEquals(false, sequence.prefill(ids, 40) { ++asked == 2 })
                        assertEquals(40, sequence.length)
                        assertEquals(true, sequence.prefill(ids.copyOfRange(40, 90)))
                        val resumed = sequence.logits.copyOf()
                        session.start(90).use { whole ->
                            whole.prefill(ids)
                            assertArrayEquals(whole.logits, resumed)
                        }
                    }
                }
            }
        }
}
