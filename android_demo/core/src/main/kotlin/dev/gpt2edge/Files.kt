package dev.gpt2edge

import java.io.BufferedReader
import java.io.File
import java.io.FileInputStream
import java.io.InputStreamReader
import java.io.Reader
import java.nio.charset.CodingErrorAction
import java.security.MessageDigest

/** Reads the file as UTF-8; bytes that are none are an IOException, as in Python. */
internal fun File.strictUtf8Reader(): Reader {
    val decoder =
        Charsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT)
    return BufferedReader(InputStreamReader(FileInputStream(this), decoder))
}

/** Hexadecimal SHA-256 of the file. */
internal fun File.sha256(): String {
    val digest = MessageDigest.getInstance("SHA-256")
    val buffer = ByteArray(1 shl 18)
    FileInputStream(this).use { input ->
        while (true) {
            val read = input.read(buffer)
            if (read < 0) break
            digest.update(buffer, 0, read)
        }
    }
    return digest.digest().joinToString("") { byte ->
        (byte.toInt() and 0xff).toString(16).padStart(2, '0')
    }
}
