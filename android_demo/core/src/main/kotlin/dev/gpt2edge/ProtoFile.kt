package dev.gpt2edge

import java.io.Closeable
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException

/** Where a message of [ProtoFile] ends, and how deep it lies in others. */
internal class Message(val end: Long, val depth: Int)

/**
 * Reads a file in the wire format of Protocol Buffers field by field; what nobody asks for (weights)
 * is jumped over. Depth, the number of fields and the length of texts are bounded.
 *
 * Everything raises UnreadableException for a file that is no such format, and IOException.
 */
internal class ProtoFile(file: File) : Closeable {
    private val input = RandomAccessFile(file, "r")
    private val length = input.length()
    private val buffer = ByteArray(8192)
    private var bufferStart = 0L
    private var bufferSize = 0
    private var position = 0L
    private var fields = 0
    private var wire = 0
    private var pending = true // the value of the field that was read last is still to be read

    fun whole() = Message(length, 0)

    /** Calls [field] with the number of every field of [message]; what it does not read is passed over. */
    fun read(message: Message, field: (Int) -> Unit) {
        if (message.depth > DEEPEST) throw UnreadableException("it is nested too deeply")
        while (position < message.end) {
            if (++fields > MOST_FIELDS) throw UnreadableException("it has more than $MOST_FIELDS parts")
            val tag = varint()
            wire = (tag and 7).toInt()
            pending = true
            field((tag ushr 3).toInt())
            if (pending) skip(message.end)
            if (position > message.end) throw cutOff()
        }
    }

    /** The message in the field, inside [outer]; null if the field is of another kind. */
    fun message(outer: Message): Message? {
        val end = bytes(outer) ?: return null
        return Message(end, outer.depth + 1)
    }

    /** The text in the field, null if it is of another kind. */
    fun text(outer: Message): String? {
        val end = bytes(outer) ?: return null
        if (end - position > LONGEST_TEXT) throw UnreadableException("it has a name of ${end - position} bytes")
        val bytes = ByteArray((end - position).toInt())
        var isAscii = true
        for (index in bytes.indices) {
            bytes[index] = next()
            if (bytes[index] < 0) isAscii = false
        }
        if (isAscii) return String(bytes, Charsets.ISO_8859_1)
        return try {
            Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString()
        } catch (error: CharacterCodingException) {
            throw UnreadableException("it has a name that is not UTF-8", error)
        }
    }

    /** The number in the field, null if it is of another kind. */
    fun number(): Long? {
        if (wire != VARINT) return null
        pending = false
        return varint()
    }

    /** The number in the field, or, packed, all of them. */
    fun numbers(outer: Message, number: (Long) -> Unit) {
        if (wire == VARINT) return number(number()!!)
        val end = bytes(outer) ?: return
        while (position < end) {
            if (++fields > MOST_FIELDS) throw UnreadableException("it has more than $MOST_FIELDS parts")
            number(varint())
        }
        if (position > end) throw cutOff()
    }

    override fun close() = input.close()

    private fun bytes(outer: Message): Long? {
        if (wire != BYTES) return null
        pending = false
        val count = varint()
        if (count < 0 || count > outer.end - position) throw cutOff()
        return position + count
    }

    private fun skip(end: Long) {
        pending = false
        val count =
            when (wire) {
                VARINT -> {
                    varint()
                    0
                }
                FIXED_64 -> 8
                BYTES -> varint()
                FIXED_32 -> 4
                else -> throw UnreadableException("it has a field of an unknown kind")
            }
        if (count < 0 || count > end - position) throw cutOff()
        position += count
    }

    private fun varint(): Long {
        var value = 0L
        for (shift in 0 until 70 step 7) {
            val byte = next().toInt()
            if (shift < 64) value = value or ((byte and 0x7f).toLong() shl shift)
            if (byte >= 0) return value
        }
        throw UnreadableException("it has a number that does not end")
    }

    private fun next(): Byte {
        val index = position - bufferStart
        if (index < 0 || index >= bufferSize) return fill()
        position++
        return buffer[index.toInt()]
    }

    private fun fill(): Byte {
        input.seek(position)
        bufferStart = position++
        bufferSize = input.read(buffer).coerceAtLeast(0)
        if (bufferSize == 0) throw cutOff()
        return buffer[0]
    }

    private fun cutOff() = UnreadableException("it ends in the middle of something")

    private companion object {
        const val DEEPEST = 50
        const val MOST_FIELDS = 5_000_000
        const val LONGEST_TEXT = 4096
        const val VARINT = 0
        const val FIXED_64 = 1
        const val BYTES = 2
        const val FIXED_32 = 5
    }
}
