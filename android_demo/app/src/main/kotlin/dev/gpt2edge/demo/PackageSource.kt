package dev.gpt2edge.demo

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
        if (files == 0) throw DemoException("$name is no zip, or an empty one; choose the zip of a package")
    }
}
