package dev.gpt2edge

import java.io.BufferedReader
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.io.InputStream
import java.io.InputStreamReader
import java.io.Reader
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction
import java.security.MessageDigest

// As in runtime/gpt2_edge/untrusted.py: what is read is many times as large in memory.
internal const val JSON_LIMIT = 8L shl 20
internal const val TOKENIZER_LIMIT = 48L shl 20

private const val BUFFER = 1 shl 18

/** Why a file could not be read, in words that stand behind its name; callers say what to do. */
internal class UnreadableException(message: String, cause: Throwable? = null) : Exception(message, cause)

/**
 * Reads the regular file, of at most [limit] bytes, as JSON in UTF-8: [read] takes all of its value.
 *
 * sha256: of the file; it is computed from the very bytes that are parsed, and compared before
 * anything else is said of them. Raises UnreadableException, PackageException where the hash differs,
 * and what [read] raises.
 */
internal fun <T> File.readJson(limit: Long, sha256: String? = null, read: JsonReader.() -> T): T {
    try {
        if (!isFile) throw UnreadableException(if (exists()) "it is no regular file" else "there is no such file")
        if (length() > limit) throw tooLarge(limit)
        return CheckedInput(this, limit, hashed = sha256 != null).use { input ->
            try {
                JsonReader(input.strictUtf8()).run { read().also { finish() } }
            } finally {
                if (sha256 != null) requireHash(input.sha256(), sha256)
            }
        }
    } catch (error: JsonException) {
        throw UnreadableException(error.firstLine(), error)
    } catch (error: CharacterCodingException) {
        throw UnreadableException("it is not UTF-8", error)
    } catch (error: IOException) {
        throw UnreadableException(error.firstLine(), error)
    } catch (error: OutOfMemoryError) {
        throw UnreadableException("it does not fit into memory", error)
    }
}

private fun tooLarge(limit: Long) = UnreadableException("it has more than ${limit shr 20} MB")

/** PackageException unless the file's hash, [actual], is the manifest's. */
internal fun File.requireHash(actual: String, expected: String) {
    if (actual == expected) return
    throw PackageException(
        "$this is damaged: its SHA-256 is ${actual.take(12)}…, the manifest says " +
            "${expected.take(12)}…; copy or export the package again",
        Problem.FileDamaged(this),
    )
}

/** Hexadecimal SHA-256 of the file. */
internal fun File.sha256(): String = CheckedInput(this, Long.MAX_VALUE, hashed = true).use { it.sha256() }

/** Bytes that are not UTF-8 are a CharacterCodingException, as in Python, and not replaced. */
internal fun InputStream.strictUtf8(): Reader {
    val decoder =
        Charsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT)
    return BufferedReader(InputStreamReader(this, decoder))
}

/** A file's bytes, no more than [limit] of them, with their hash if it will be asked for. */
private class CheckedInput(file: File, private val limit: Long, hashed: Boolean) : InputStream() {
    private val input = FileInputStream(file)
    private val digest = if (hashed) MessageDigest.getInstance("SHA-256") else null
    private var count = 0L

    override fun read(): Int {
        val one = ByteArray(1)
        return if (read(one, 0, 1) < 0) -1 else one[0].toInt() and 0xff
    }

    override fun read(buffer: ByteArray, offset: Int, length: Int): Int {
        val read = input.read(buffer, offset, length)
        if (read <= 0) return read
        count += read
        if (count > limit) throw tooLarge(limit)
        digest?.update(buffer, offset, read)
        return read
    }

    /** Of the whole file: what was not read yet is read now. */
    fun sha256(): String {
        val buffer = ByteArray(BUFFER)
        while (read(buffer, 0, buffer.size) >= 0) Unit
        return checkNotNull(digest).digest().joinToString("") { byte ->
            (byte.toInt() and 0xff).toString(16).padStart(2, '0')
        }
    }

    override fun close() = input.close()
}
