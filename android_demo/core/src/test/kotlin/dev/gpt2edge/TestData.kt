package dev.gpt2edge

import java.io.File
import kotlin.random.Random
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue

/** What src/test/python/make_vectors.py wrote; android_demo/test-core.sh makes it and runs the tests. */
internal object TestData {
    val folder =
        File(
            checkNotNull(System.getProperty("gpt2edge.testdata")) {
                "set -Dgpt2edge.testdata to what make_vectors.py wrote, or run android_demo/test-core.sh"
            }
        )

    val repository = File(checkNotNull(System.getProperty("gpt2edge.repository")))

    fun packageFolder(name: String) = File(folder, "packages/$name")

    fun json(file: File): Map<String, Any?> = value(file).members()

    fun value(file: File): Any? = file.strictUtf8Reader().use { JsonReader(it).readValue() }

    /** A copy of a package that a test may damage; small files are copied, the model too. */
    fun copyOf(name: String, to: File): File = packageFolder(name).also { it.copyRecursively(to) }.let { to }

    /** Rewrites manifest.json by replacing text that must be there. */
    fun editManifest(folder: File, old: String, new: String) {
        val file = File(folder, MANIFEST_FILE)
        val text = file.readText()
        assertTrue(old in text, "$old in the manifest")
        file.writeText(text.replace(old, new))
    }
}

@Suppress("UNCHECKED_CAST")
internal fun Any?.members(): Map<String, Any?> = this as Map<String, Any?>

@Suppress("UNCHECKED_CAST")
internal fun Any?.list(): List<Any?> = this as List<Any?>

internal fun Any?.ints(): IntArray = list().map { (it as Long).toInt() }.toIntArray()

internal fun Any?.floats(): FloatArray = list().map { (it as Number).toFloat() }.toFloatArray()

internal fun Any?.int(): Int = (this as Long).toInt()

internal fun Any?.double(): Double = (this as Number).toDouble()

/** The readable line that an application would show. */
internal inline fun <reified T : GPT2EdgeException> failure(crossinline action: () -> Unit): String {
    val error = assertThrows(T::class.java) { action() }
    val message = error.message!!
    assertFalse('\n' in message, "one line: $message")
    return message
}

internal fun assertContains(text: String, vararg parts: String) {
    for (part in parts) assertTrue(part in text, "'$part' in: $text")
}

/** Text of all planes, white space and single bytes; no lone surrogates. */
internal fun Random.text(length: Int): String {
    val text = StringBuilder()
    repeat(length) {
        val point =
            when (nextInt(4)) {
                0 -> nextInt(0x80)
                1 -> nextInt(0x800)
                2 -> " \n\u00a0\u3000é🙂".let { it.codePointAt(it.offsetByCodePoints(0, nextInt(6))) }
                else -> nextInt(0x110000)
            }
        if (point !in 0xd800..0xdfff) text.appendCodePoint(point)
    }
    return text.toString()
}
