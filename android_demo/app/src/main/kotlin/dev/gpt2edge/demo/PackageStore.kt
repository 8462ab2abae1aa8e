package dev.gpt2edge.demo

import dev.gpt2edge.ModelPackage
import dev.gpt2edge.PackageException
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.util.concurrent.CancellationException

/**
 * The packages on this device: [own] has those that were imported and the bundled one, [pushed] those
 * that came by adb. Each is a folder that ONNX Runtime opens by its path.
 *
 * freeSpace: of the storage that [own] is on, in bytes.
 */
class PackageStore(
    private val own: File,
    private val pushed: File?,
    private val freeSpace: () -> Long = { (own.takeIf { it.exists() } ?: own.parentFile).usableSpace },
) {
    /** All packages by name. Folders with a dot in front are being copied. */
    fun list(): List<InstalledPackage> =
        (folders(own).map { InstalledPackage(it, it.name) } +
                folders(pushed).map { InstalledPackage(it, "${it.name} (adb)") })
            .sortedWith(compareBy({ it.label }, { it.folder.path }))

    /** Removes what copies that were cut off left behind. */
    fun clean() {
        own.listFiles { file -> file.name.startsWith(".") }.orEmpty().forEach { it.deleteRecursively() }
    }

    /**
     * Copies a package in and returns it. It is whole or not there: its hashes are compared in a
     * hidden folder, which is renamed at the end. [cancelled] is asked between blocks.
     *
     * Raises GPT2EdgeException, DemoException, IOException, and CancellationException once [cancelled].
     */
    fun install(source: PackageSource, cancelled: () -> Boolean = { false }): InstalledPackage {
        val partial = copy(source, cancelled)
        try {
            val folder = packageIn(partial, source.name)
            try {
                ModelPackage.open(folder, verifyHashes = false).checkHashes()
            } catch (error: PackageException) { // names a file of the hidden folder, which is going
                throw DemoException(error.message.orEmpty().replace(folder.path, source.name))
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
        val partial = copy(source) { false }
        try {
            folder.deleteRecursively()
            move(partial, folder.name)
        } finally {
            partial.deleteRecursively()
        }
    }

    private fun folders(root: File?): List<File> =
        root?.listFiles { file -> file.isDirectory && !file.name.startsWith(".") }.orEmpty().toList()

    private fun copy(source: PackageSource, cancelled: () -> Boolean): File {
        val partial = File(own, ".partial-${System.nanoTime()}")
        if (!partial.mkdirs()) throw IOException("$partial cannot be made; is the storage full?")
        try {
            source.forEachFile { path, content ->
                val target = target(partial, path, source.name)
                target.parentFile?.mkdirs()
                target.outputStream().use { copy(content, it, source.name, cancelled) }
            }
        } catch (error: Throwable) {
            partial.deleteRecursively()
            if (error !is IOException) throw error
            throw IOException(
                "${source.name} was not imported: ${error.message ?: error.javaClass.simpleName}; " +
                    "if it was copied here, copy it again",
                error,
            )
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
                throw DemoException(
                    "$source was not imported: less than ${RESERVE / BYTES_IN_MEGABYTE} MB of storage are left; " +
                        "free some and import it again"
                )
            }
            to.write(buffer, 0, read)
        }
    }

    /** Where a file of that path goes, which is inside [folder] or nowhere. */
    private fun target(folder: File, path: String, source: String): File {
        val target = File(folder, path)
        val outside = !target.canonicalPath.startsWith(folder.canonicalPath + File.separator)
        if (outside || path.startsWith("/") || '\\' in path || path.split('/').any { it == ".." }) {
            throw DemoException("$source has a file '$path', which points outside it; it was not imported")
        }
        return target
    }

    private fun packageIn(partial: File, source: String): File {
        val candidates = listOf(partial) + partial.listFiles { file -> file.isDirectory }.orEmpty().sorted()
        return candidates.firstOrNull { File(it, MANIFEST).isFile }
            ?: throw DemoException("$source has no $MANIFEST; choose a folder or zip that gpt2-edge export wrote")
    }

    private fun move(folder: File, name: String): InstalledPackage {
        val destination = File(own, name)
        if (!folder.renameTo(destination)) throw IOException("$destination cannot be made from $folder")
        return InstalledPackage(destination, name)
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
