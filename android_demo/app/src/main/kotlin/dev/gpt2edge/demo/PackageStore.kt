package dev.gpt2edge.demo

import dev.gpt2edge.GPT2EdgeException
import dev.gpt2edge.Manifest
import dev.gpt2edge.ModelPackage
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.util.concurrent.CancellationException

/** What a package's manifest says of it. perplexity: of a held-out text, beside that of its fp32 model. */
data class PackageFacts(val bytes: Long, val recipe: String, val perplexity: Double?, val referencePerplexity: Double?)

/**
 * A folder with a package, or with what claims to be one: opening it says what is wrong. facts: null
 * where its manifest cannot be read.
 */
data class InstalledPackage(val folder: File, val label: String, val facts: PackageFacts?, val canDelete: Boolean)

/**
 * The packages on this device: [own] has those that were imported and the bundled one, [pushed] those
 * that came by adb. Each is a folder that ONNX Runtime opens by its path.
 *
 * freeSpace: of the storage that [own] is on, in bytes. Not for the screen's thread: storage may be slow.
 */
class PackageStore(
    private val own: File,
    findPushed: () -> File?,
    private val freeSpace: () -> Long = { (own.takeIf { it.exists() } ?: own.parentFile).usableSpace },
) {
    /** Where `adb push` puts packages; null while the device has no such storage. */
    val pushed: File? by lazy(findPushed)

    /** All packages by name. Folders with a dot in front are being copied. */
    fun list(): List<InstalledPackage> =
        (folders(own).map { InstalledPackage(it, it.name, about(it), canDelete = true) } +
                folders(pushed).map { InstalledPackage(it, "${it.name} (adb)", about(it), canDelete = false) })
            .sortedWith(compareBy({ it.label }, { it.folder.path }))

    /** Removes an own package; IOException where it cannot. */
    fun delete(chosen: InstalledPackage) {
        check(chosen.canDelete)
        val going = File(own, ".deleted-${System.nanoTime()}") // gone for list() at once, whatever happens then
        if (!chosen.folder.renameTo(going)) throw IOException("${chosen.folder} cannot be deleted")
        going.deleteRecursively()
    }

    private fun about(folder: File): PackageFacts? =
        try {
            val manifest = Manifest.read(folder)
            val bytes = manifest.files.values.sumOf { it.bytes }
            PackageFacts(bytes, manifest.recipe.name, manifest.quality?.perplexity, manifest.quality?.referencePerplexity)
        } catch (error: GPT2EdgeException) {
            null // loading it says what is wrong
        }

    /** Removes what copies that were cut off left behind. */
    fun clean() {
        own.listFiles { file -> file.name.startsWith(".") }.orEmpty().forEach { it.deleteRecursively() }
    }

    /**
     * Copies a package in and returns it. It is whole or not there: its hashes are compared in a
     * hidden folder, which is renamed at the end. [cancelled] is asked between blocks, and [progress]
     * told there how much of the source was read, from 0 to 1.
     *
     * Raises Refused, IOException, and CancellationException once [cancelled].
     */
    fun install(
        source: PackageSource,
        cancelled: () -> Boolean = { false },
        progress: (Double) -> Unit = {},
    ): InstalledPackage {
        val partial = copy(source, cancelled, progress)
        try {
            val folder = packageIn(partial, source.name)
            try {
                ModelPackage.open(folder, verifyHashes = false).checkHashes()
            } catch (error: GPT2EdgeException) { // names a file of the hidden folder, which is going
                val words = wordsOf(error.problem)
                val arguments = words.arguments.map { if (it is String) it.replace(folder.name, source.name) else it }
                val detail = error.message.orEmpty().replace(folder.path, source.name)
                throw Refused(words.copy(arguments = arguments, detail = detail))
            }
            return move(folder, freeName(tidy(source.name)))
        } finally {
            partial.deleteRecursively()
        }
    }

    /** Installs the package that came with the application, unless this very one is there already. */
    fun installBundled(source: PackageSource, manifest: ByteArray) {
        val folder = File(own, source.name)
        val installed = File(folder, MANIFEST)
        if (installed.isFile && installed.readBytes().contentEquals(manifest)) return
        val partial = copy(source, { false }, {})
        try {
            folder.deleteRecursively()
            move(partial, folder.name)
        } finally {
            partial.deleteRecursively()
        }
    }

    private fun folders(root: File?): List<File> =
        root?.listFiles { file -> file.isDirectory && !file.name.startsWith(".") }.orEmpty().toList()

    private fun copy(source: PackageSource, cancelled: () -> Boolean, progress: (Double) -> Unit): File {
        val partial = File(own, ".partial-${System.nanoTime()}")
        if (!partial.mkdirs()) throw IOException("$partial cannot be made; is the storage full?")
        try {
            source.forEachFile { path, content ->
                val target = target(partial, path, source.name)
                target.parentFile?.mkdirs()
                target.outputStream().use { output ->
                    copy(content, output, source.name) {
                        source.done?.let(progress)
                        cancelled()
                    }
                }
            }
        } catch (error: Throwable) {
            partial.deleteRecursively()
            if (error !is IOException) throw error
            throw Refused(Message(R.string.import_unreadable, listOf(source.name), detail = error.message))
        }
        return partial
    }

    /** Stops before the storage is full: Android and other applications need some of it. */
    private fun copy(from: InputStream, to: OutputStream, source: String, cancelled: () -> Boolean) {
        val buffer = ByteArray(BUFFER)
        while (true) {
            if (cancelled()) throw CancellationException("$source was not imported: stopped")
            val read = from.read(buffer)
            if (read < 0) return
            if (freeSpace() < RESERVE) {
                throw Refused(Message(R.string.import_no_room, listOf(source, RESERVE / BYTES_IN_MEGABYTE)))
            }
            to.write(buffer, 0, read)
        }
    }

    /** Where a file of that path goes, which is inside [folder] or nowhere. */
    private fun target(folder: File, path: String, source: String): File {
        val target = File(folder, path)
        val outside = !target.canonicalPath.startsWith(folder.canonicalPath + File.separator)
        if (outside || path.startsWith("/") || '\\' in path || path.split('/').any { it == ".." }) {
            throw Refused(Message(R.string.import_points_outside, listOf(source)))
        }
        return target
    }

    private fun packageIn(partial: File, source: String): File {
        val candidates = listOf(partial) + partial.listFiles { file -> file.isDirectory }.orEmpty().sorted()
        return candidates.firstOrNull { File(it, MANIFEST).isFile }
            ?: throw Refused(Message(R.string.import_no_package, listOf(source)))
    }

    private fun move(folder: File, name: String): InstalledPackage {
        val destination = File(own, name)
        if (!folder.renameTo(destination)) throw IOException("$destination cannot be made from $folder")
        return InstalledPackage(destination, name, about(destination), canDelete = true)
    }

    private fun freeName(name: String): String =
        generateSequence(1) { it + 1 }
            .map { if (it == 1) name else "$name-$it" }
            .first { !File(own, it).exists() }

    private fun tidy(name: String): String =
        name.removeSuffix(".zip").replace(Regex("[^A-Za-z0-9._-]+"), "-").trimStart('.', '-').take(LONGEST).ifEmpty { "package" }

    private companion object {
        const val MANIFEST = "manifest.json"
        const val BUFFER = 1 shl 18
        const val RESERVE = 100_000_000L
        const val BYTES_IN_MEGABYTE = 1_000_000
        const val LONGEST = 60
    }
}
