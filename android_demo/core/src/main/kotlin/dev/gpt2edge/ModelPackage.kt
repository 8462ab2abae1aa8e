package dev.gpt2edge

import java.io.File
import java.io.IOException

/** A package folder whose manifest was read and whose files have the right sizes. */
class ModelPackage private constructor(val folder: File, val manifest: Manifest) {
    val modelFile: File
        get() = File(folder, manifest.graph.file)

    /** Size of the graph with its weights. */
    val modelBytes: Long
        get() = manifest.files.filterKeys { it.startsWith(manifest.graph.file) }.values.sumOf { it.bytes }

    /** Size of the keys and values of [tokens] tokens. */
    fun cacheBytes(tokens: Int): Long {
        val architecture = manifest.architecture
        val values = 2L * architecture.numLayers * architecture.numHeads * architecture.headSize
        return values * tokens * manifest.graph.cacheType.bytes
    }

    /**
     * Bytes that loading the graph and writing up to [tokens] take at their peak, from above.
     *
     * Weights inside the graph are there three times while it loads: as read, as tensors, and in the
     * layout that the kernels like. Those in a file of their own are mapped, which costs nothing that
     * the system could not take back, and only their layout counts. A chunk of a prompt takes four
     * times its attention scores, all else included. (Measured on Linux; a test measures again.)
     */
    fun memoryBytes(tokens: Int): Long {
        val graph = manifest.files.getValue(manifest.graph.file).bytes
        val chunk = minOf(tokens, TokenSequence.PREFILL_CHUNK).toLong()
        val scores = manifest.architecture.numHeads * chunk * tokens * Float.SIZE_BYTES
        return 3 * graph + (modelBytes - graph) + cacheBytes(tokens) + 4 * scores
    }

    /** The files that a runtime reads: graph, external weights, tokenizer. */
    internal fun runtimeFiles(): List<String> =
        manifest.files.keys.filter {
            it.startsWith(manifest.graph.file) || it == manifest.tokenizer
        }

    /** Compares contents with the manifest; PackageException names the first file that differs. */
    fun checkHashes(names: Collection<String> = manifest.files.keys) {
        for (name in names) {
            val expected = manifest.files.getValue(name).sha256
            val file = File(folder, name)
            val actual =
                try {
                    file.sha256()
                } catch (error: IOException) {
                    throw PackageException("$file cannot be read (${error.firstLine()})", error)
                }
            if (actual != expected) {
                throw PackageException(
                    "$file is damaged: its SHA-256 is ${actual.take(12)}…, the manifest says " +
                        "${expected.take(12)}…; copy or export the package again"
                )
            }
        }
    }

    companion object {
        /**
         * Reads the manifest in [folder] and checks that every file is there and whole.
         *
         * Sizes are always compared; [verifyHashes] reads the contents of the files that a runtime
         * needs. Raises PackageException.
         */
        fun open(folder: File, verifyHashes: Boolean = true): ModelPackage {
            val manifest = readManifest(folder)
            for ((name, record) in manifest.files) {
                // Names are those of files in this very folder, whatever wrote the manifest.
                if (File(name).name != name || name == ".." || '\\' in name || '\u0000' in name) {
                    throw PackageException(
                        "$folder: the manifest lists '$name', which is outside the package"
                    )
                }
                val file = File(folder, name)
                if (!file.isFile) {
                    throw PackageException("$file is missing; copy or export the package again")
                }
                if (file.length() != record.bytes) {
                    throw PackageException(
                        "$file has ${file.length()} bytes, the manifest says ${record.bytes}; " +
                            "copy or export the package again"
                    )
                }
            }
            for (needed in listOfNotNull(manifest.graph.file, manifest.tokenizer)) {
                if (needed !in manifest.files) {
                    throw PackageException("$folder: the manifest uses $needed but does not list it")
                }
            }
            val opened = ModelPackage(folder, manifest)
            if (verifyHashes) opened.checkHashes(opened.runtimeFiles())
            return opened
        }
    }
}
