package dev.gpt2edge

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class QualityTest {
    @TempDir lateinit var temporary: File

    @Test
    fun `a manifest's figures, and what is none`() {
        val folder = TestData.copyOf("int4", File(temporary, "measured"))
        fun read(quality: Any?): Quality? {
            TestData.changeManifest(folder) { it["quality"] = quality }
            return Manifest.read(folder).quality
        }
        assertNull(read(null))
        assertNull(read("good"))
        val measured = mapOf("perplexity" to 26.5, "reference_perplexity" to 26L, "mean_kl" to 0.005)
        assertEquals(Quality(26.5, 26.0, 0.005), read(measured))
        assertEquals(Quality(null, null, null), read(mapOf("perplexity" to "low", "reference_perplexity" to -1)))
    }
}
