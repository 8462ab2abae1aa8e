package dev.gpt2edge

import java.io.File
import java.util.Base64
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

/** spec/graphs.json, which Python and the browser module run too: what graphs are made of. */
class GraphSpecTest {
    @TempDir lateinit var temporary: File

    @Test
    fun `the rule is the one of the spec`() {
        val spec = TestData.spec("graphs")
        assertEquals(spec["with_graphs"].list().toSet(), GraphRules.withGraphs)
        assertEquals(spec["domains"].list().toSet(), GraphRules.domains)
        assertEquals(spec["compiled"].list(), listOf(GraphRules.COMPILED))
    }

    @TestFactory
    fun `graphs that are refused in one line`() =
        specCases("graphs", "refused") { case ->
            val message = failure<PackageException> { GraphOutline.read(fileOf(case)) }
            assertContains(message, case["names"] as String)
        }

    @TestFactory
    fun `graphs that are borne`() =
        specCases("graphs", "borne") { case -> assertTrue(GraphOutline.read(fileOf(case)).externalFiles.isEmpty()) }

    @Test
    fun `a package with such a graph is refused before it is loaded`() {
        val folder = TestData.copyOf("int4", File(temporary, "package"))
        val loop = TestData.spec("graphs")["refused"].list().map { it.members() }.first { it["name"] == "Loop" }
        fileOf(loop).copyTo(File(folder, "model.onnx"), overwrite = true)
        TestData.listAnew(folder, "model.onnx")
        assertContains(failure<PackageException> { Generator.load(folder).close() }, "it has a node 'Loop'")
    }

    private fun fileOf(case: Map<String, Any?>) =
        File(temporary, "graph.onnx").apply { writeBytes(Base64.getDecoder().decode(case["graph"] as String)) }
}
