package dev.gpt2edge.demo

import dev.gpt2edge.GPT2EdgeException
import dev.gpt2edge.ModelPackage
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.zip.ZipInputStream

/** Files of a package from anywhere: a folder of the file picker, a zip, the application's assets. */
interface PackageSource {
    val name: String

    /** Hands over every file once, as a path with forward slashes and its content. */
    fun forEachFile(action: (path: String, content: InputStream) -> Unit)
}

/** A zip of a package, with or without a folder around its files; it is read once, as it comes. */
class ZipSource(override val name: String, private val open: () -> InputStream) : PackageSource {
    override fun forEachFile(action: (path: String, content: InputStream) -> Unit) {
        var files = 0
        ZipInputStream(open()).use { zip ->
            while (true) {
                val entry = zip.nextEntry ?: break
                if (!entry.isDirectory) {
                    action(entry.name, zip)
                    files++
                }
            }
        }
        if (files == 0) throw GPT2EdgeException("$name is no zip, or an empty one; choose the zip of a package")
    }
}

/**
 * The packages on this device: [own] has those that were imported and the bundled one, [pushed] those
 * that came by adb. Each is a folder that ONNX Runtime opens by its path.
 */
class PackageStore(private val own: File, private val pushed: File?) {
    /** All packages by name. Folders with a dot in front are being copied. */
    fun list(): List<InstalledPackage> =
        listOfNotNull(own, pushed)
            .flatMap { root -> root.listFiles { file -> file.isDirectory && !file.name.startsWith(".") }.orEmpty().toList() }
            .map { InstalledPackage(it, it.name) }
            .sortedWith(compareBy({ it.label }, { it.folder.path }))

    /** Removes what copies that were cut off left behind. */
    fun clean() {
        own.listFiles { file -> file.name.startsWith(".") }.orEmpty().forEach { it.deleteRecursively() }
    }

    /**
     * Copies a package in and returns it. It is whole or not there: its hashes are compared in a
     * hidden folder, which is renamed at the end. GPT2EdgeException, IOException.
     */
    fun install(source: PackageSource): InstalledPackage {
        val partial = copy(source)
        try {
            val folder = packageIn(partial, source.name)
            val opened = ModelPackage.open(folder, verifyHashes = false)
            opened.checkHashes()
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
        val partial = copy(source)
        try {
            folder.deleteRecursively()
            move(partial, folder.name)
        } finally {
            partial.deleteRecursively()
        }
    }

    private fun copy(source: PackageSource): File {
        val partial = File(own, ".partial-${System.nanoTime()}")
        if (!partial.mkdirs()) throw IOException("$partial cannot be made; is the storage full?")
        try {
            source.forEachFile { path, content ->
                val target = target(partial, path, source.name)
                target.parentFile?.mkdirs()
                target.outputStream().use { content.copyTo(it, BUFFER) }
            }
        } catch (error: Throwable) {
            partial.deleteRecursively()
            throw error
        }
        return partial
    }

    /** Where a file of that path goes, which is inside [folder] or nowhere. */
    private fun target(folder: File, path: String, source: String): File {
        val target = File(folder, path)
        val outside = !target.canonicalPath.startsWith(folder.canonicalPath + File.separator)
        if (outside || path.startsWith("/") || '\\' in path || path.split('/').any { it == ".." }) {
            throw GPT2EdgeException("$source has a file '$path', which points outside it; it was not imported")
        }
        return target
    }

    private fun packageIn(partial: File, source: String): File {
        val candidates = listOf(partial) + partial.listFiles { file -> file.isDirectory }.orEmpty().sorted()
        return candidates.firstOrNull { File(it, MANIFEST).isFile }
            ?: throw GPT2EdgeException("$source has no $MANIFEST; choose a folder or zip that gpt2-edge export wrote")
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
        const val LONGEST = 60
    }
}
