package dev.gpt2edge

import java.io.File
import java.io.IOException

private const val DEFAULTS_FILE = "generation_config.json"

/**
 * A package folder whose manifest was read and agrees with its graph, and whose files have the right
 * sizes.
 *
 * weightFiles: of the manifest's files, those in which the graph says that it has weights.
 * hasPositions: whether the graph's position table was found, and holds the whole context.
 */
class ModelPackage
private constructor(
    val folder: File,
    val manifest: Manifest,
    private val weightFiles: Set<String>,
    internal val hasPositions: Boolean,
) {
    val modelFile: File
        get() = File(folder, manifest.graph.file)

    /** Size of the graph with its weights. */
    val modelBytes: Long
        get() = graphFiles().sumOf { manifest.files.getValue(it).bytes }

    /** Size of the keys and values of [tokens] tokens. */
    fun cacheBytes(tokens: Int): Long {
        val architecture = manifest.architecture
        val values = 2.0 * architecture.numLayers * architecture.numHeads * architecture.headSize
        return (values * tokens * manifest.graph.cacheType.bytes).toLong() // at most Long.MAX_VALUE
    }

    /**
     * Bytes that loading the graph and writing up to [tokens] take at their peak, from above.
     *
     * Weights inside the graph are there three times while it loads: as read, as tensors, and in the
     * layout that the kernels like. Those in a file of their own are mapped, which costs nothing that
     * the system could not take back, and only their layout counts; of quantized ones also what is
     * made of them on loading: scales in float32, and the table that embeds, once more beside the
     * head's. A chunk of a prompt takes four
     * times its attention scores, all else included. (Measured on Linux; a test measures again.)
     */
    fun memoryBytes(tokens: Int): Long {
        val graph = manifest.files.getValue(manifest.graph.file).bytes
        val chunk = minOf(tokens, PREFILL_CHUNK).toDouble()
        val scores = manifest.architecture.numHeads * chunk * tokens * Float.SIZE_BYTES
        val isQuantized = manifest.recipe.formats.values.any { it.bits <= Byte.SIZE_BITS }
        val outside = (if (isQuantized) 2.0 else 1.0) * (modelBytes - graph)
        return (3.0 * graph + outside + cacheBytes(tokens) + 4 * scores).toLong()
    }

    /** The files that a runtime reads: graph, external weights, tokenizer, generation defaults. */
    internal fun runtimeFiles(): List<String> =
        (graphFiles() + listOfNotNull(manifest.tokenizer, defaultsFile())).toList()

    /** The graph and what weights it has outside, which ONNX Runtime opens by their path. */
    internal fun graphFiles(): Set<String> = setOf(manifest.graph.file) + weightFiles

    internal fun defaultsFile(): String? = DEFAULTS_FILE.takeIf { it in manifest.files }

    /** Compares contents with the manifest; PackageException names the first file that differs. */
    fun checkHashes(names: Collection<String> = manifest.files.keys) {
        for (name in names) {
            val file = File(folder, name)
            val actual =
                try {
                    file.sha256()
                } catch (error: IOException) {
                    throw PackageException("$file cannot be read (${error.firstLine()})", Problem.FileUnreadable(file), error)
                }
            file.requireHash(actual, manifest.files.getValue(name).sha256)
        }
    }

    companion object {
        /**
         * Reads the manifest in [folder], and checks that every file is there and whole, and that the
         * graph is the one described.
         *
         * Sizes are always compared; [verifyHashes] reads the contents of the files that a runtime
         * needs. Raises PackageException.
         */
        fun open(folder: File, verifyHashes: Boolean = true): ModelPackage {
            val manifest = readManifest(folder)
            val inside = folder.canonicalPathOf() + File.separator
            for ((name, record) in manifest.files) checkFile(File(folder, name), record, inside)
            for (needed in listOfNotNull(manifest.graph.file, manifest.tokenizer)) {
                if (needed !in manifest.files) {
                    throw PackageException(
                        "$folder: the manifest uses ${shown(needed)} but does not list it",
                        Problem.FileDamaged(File(folder, MANIFEST_FILE)),
                    )
                }
            }
            val outline = GraphOutline.read(File(folder, manifest.graph.file))
            for (name in outline.externalFiles) {
                if (name !in manifest.files) {
                    throw PackageException(
                        "$folder: the graph has weights in ${shown(name)}, which the manifest does not " +
                            "list; copy or export the package again",
                        Problem.FileDamaged(File(folder, MANIFEST_FILE)),
                    )
                }
            }
            val hasPositions = manifest.graph.names.positionIds?.let { outline.tableOf(it) } != null
            val opened = ModelPackage(folder, manifest, outline.externalFiles, hasPositions)
            GraphCheck(opened, outline).check()
            if (verifyHashes) opened.checkHashes(opened.runtimeFiles())
            return opened
        }

        /** A regular file of the listed size, in the folder itself: [inside] is its path, links resolved. */
        private fun checkFile(file: File, record: FileRecord, inside: String) {
            fun damaged(message: String) = PackageException(message, Problem.FileDamaged(file))
            if (!file.exists()) {
                val message = "$file is missing; copy or export the package again"
                throw PackageException(message, Problem.FileMissing(file))
            }
            if (!file.canonicalPathOf().startsWith(inside)) {
                throw damaged("$file is a link to a file outside the package; copy the file itself")
            }
            if (!file.isFile) throw damaged("$file is no regular file; copy or export the package again")
            if (file.length() != record.bytes) {
                throw damaged(
                    "$file has ${file.length()} bytes, the manifest says ${record.bytes}; " +
                        "copy or export the package again"
                )
            }
        }

        private fun File.canonicalPathOf(): String =
            try {
                canonicalPath
            } catch (error: IOException) {
                throw PackageException("$this cannot be read (${error.firstLine()})", Problem.FileUnreadable(this), error)
            }
    }
}
