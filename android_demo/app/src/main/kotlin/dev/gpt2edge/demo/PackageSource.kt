package dev.gpt2edge.demo

import java.io.FilterInputStream
import java.io.InputStream
import java.util.zip.ZipInputStream

/** Files of a package from anywhere: a folder of the file picker, a zip, the application's assets. */
interface PackageSource {
    val name: String

    /** How much of it was handed over, 0 to 1; null where its size is not known. */
    val done: Double?

    /** Hands over every file once, as a path with forward slashes and its content. */
    fun forEachFile(action: (path: String, content: InputStream) -> Unit)
}

/** Counts what is read of [input]. */
class CountedInput(input: InputStream, private val count: (Int) -> Unit) : FilterInputStream(input) {
    override fun read(): Int = super.read().also { if (it >= 0) count(1) }

    override fun read(bytes: ByteArray, offset: Int, length: Int): Int =
        super.read(bytes, offset, length).also { if (it > 0) count(it) }
}

/**
 * A zip of a package, with or without a folder around its files; it is read once, as it comes. size: in
 * bytes, null where it is not known.
 */
class ZipSource(override val name: String, private val size: Long? = null, private val open: () -> InputStream) : PackageSource {
    private var read = 0L

    override val done: Double?
        get() = size?.takeIf { it > 0 }?.let { minOf(1.0, read.toDouble() / it) }

    override fun forEachFile(action: (path: String, content: InputStream) -> Unit) {
        var files = 0
        ZipInputStream(CountedInput(open()) { read += it }).use { zip ->
            while (true) {
                val entry = zip.nextEntry ?: break
                if (!entry.isDirectory) {
                    action(entry.name, zip)
                    files++
                }
            }
        }
        if (files == 0) throw Refused(Message(R.string.import_no_zip, listOf(name)))
    }
}
