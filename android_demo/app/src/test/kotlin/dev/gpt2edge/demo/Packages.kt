package dev.gpt2edge.demo

import java.io.ByteArrayOutputStream
import java.io.File
import java.security.MessageDigest
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** Packages made from the sample, whole and damaged. */
object Packages {
    fun copy(sample: File, to: File): File = to.also { sample.copyRecursively(it, overwrite = true) }

    /** With paths in front of the names, and more entries behind. */
    fun zip(folder: File, prefix: String = "", vararg more: Pair<String, ByteArray>): ByteArray {
        val bytes = ByteArrayOutputStream()
        ZipOutputStream(bytes).use { zip ->
            val files = folder.listFiles()!!.sorted().map { prefix + it.name to it.readBytes() }
            for ((name, content) in files + more) {
                zip.putNextEntry(ZipEntry(name))
                zip.write(content)
                zip.closeEntry()
            }
        }
        return bytes.toByteArray()
    }

    /** Changes one byte and nothing else. */
    fun flipByte(file: File) {
        val bytes = file.readBytes()
        bytes[bytes.size / 2] = (bytes[bytes.size / 2] + 1).toByte()
        file.writeBytes(bytes)
    }

    fun editManifest(folder: File, from: String, to: String) {
        val manifest = File(folder, "manifest.json")
        val text = manifest.readText()
        check(from in text) { "$from is not in the manifest" }
        manifest.writeText(text.replace(from, to))
    }

    /** The package's own settings, listed anew. */
    fun generationConfig(folder: File, content: String) {
        File(folder, "generation_config.json").writeText(content)
        val manifest = File(folder, "manifest.json")
        val record = Regex("\"generation_config.json\": \\{[^}]*\\}")
        val listed = "\"generation_config.json\": {\"bytes\": ${content.length}, \"sha256\": \"${sha256(content.toByteArray())}\"}"
        check(record.containsMatchIn(manifest.readText()))
        manifest.writeText(manifest.readText().replace(record, listed))
    }

    /** A graph with an operator that no ONNX Runtime has, under the right hash. */
    fun unknownOperator(folder: File) {
        val model = File(folder, "model.onnx")
        val before = model.readBytes()
        val after = before.toString(Charsets.ISO_8859_1)
            .replace("GroupQueryAttention", "GroupQueryAttentiom")
            .toByteArray(Charsets.ISO_8859_1)
        check(!before.contentEquals(after))
        model.writeBytes(after)
        editManifest(folder, sha256(before), sha256(after))
    }

    private fun sha256(bytes: ByteArray): String =
        MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
}
