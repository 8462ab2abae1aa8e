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

    fun value(file: File): Any? = file.readJson(Long.MAX_VALUE) { readValue(Int.MAX_VALUE) }

    /** What Python, the browser module and this one run as tests alike. */
    fun spec(name: String): Map<String, Any?> = json(File(repository, "spec/$name.json"))

    /** A copy of a package that a test may damage; small files are copied, the model too. */
    fun copyOf(name: String, to: File): File = packageFolder(name).also { it.copyRecursively(to) }.let { to }

    /** Makes the manifest agree with a file that a test has changed or added. */
    fun listAnew(folder: File, name: String) {
        val file = File(folder, name)
        changeManifest(folder) { manifest ->
            manifest["files"].changeable()[name] =
                mapOf("bytes" to file.length(), "sha256" to file.sha256())
        }
    }

    /** Rewrites manifest.json after [change] to its members. */
    fun changeManifest(folder: File, change: (MutableMap<String, Any?>) -> Unit) {
        val file = File(folder, MANIFEST_FILE)
        file.writeText(toJson(value(file).changeable().also(change)))
    }

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

@Suppress("UNCHECKED_CAST")
internal fun Any?.changeable(): MutableMap<String, Any?> = this as MutableMap<String, Any?>

internal fun toJson(value: Any?): String =
    when (value) {
        is Map<*, *> -> value.entries.joinToString(", ", "{", "}") { "${toJson(it.key)}: ${toJson(it.value)}" }
        is List<*> -> value.joinToString(", ", "[", "]") { toJson(it) }
        is String -> value.map { if (it in ' '..'~' && it != '"' && it != '\\') "$it" else "\\u%04x".format(it.code) }
            .joinToString("", "\"", "\"")
        else -> value.toString()
    }

internal fun Any?.ints(): IntArray = list().map { (it as Long).toInt() }.toIntArray()

internal fun Any?.floats(): FloatArray = list().map { (it as Number).toFloat() }.toFloatArray()

internal fun Any?.int(): Int = (this as Long).toInt()

internal fun Any?.double(): Double = (this as Number).toDouble()

/** The readable line that an application would show. */
internal inline fun <reified T : GPT2EdgeException> failure(crossinline action: () -> Unit): String {
    val error = assertThrows(T::class.java) { action() }
    val message = error.message!!
    assertTrue(message.length <= 1000, "${message.length} characters: $message")
    assertFalse(message.any { it.isISOControl() }, "one printable line: $message")
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
