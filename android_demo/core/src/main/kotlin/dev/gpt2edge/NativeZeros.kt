package dev.gpt2edge

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import java.nio.LongBuffer

/**
 * Tensors of zeros in memory of ONNX Runtime's own.
 *
 * A direct ByteBuffer would be the usual way, but Android takes those out of the Java heap (as
 * non-movable arrays), which a long cache would fill. The Java API does not allocate tensors, so a
 * graph of one node does; without the arena, their memory goes back as soon as they are closed.
 */
internal class NativeZeros(private val environment: OrtEnvironment, type: CacheType) : AutoCloseable {
    private val session: OrtSession

    init {
        OrtSession.SessionOptions().use { options ->
            options.setCPUArenaAllocator(false)
            options.setIntraOpNumThreads(1)
            // A failure is reported once, by allocate.
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
            session = environment.createSession(TinyModel.zeros(type.onnxType, type.bytes), options)
        }
    }

    /** [count] tensors of [shape]; the caller closes them. MemoryException if there is no room. */
    fun allocate(count: Int, shape: LongArray): List<OnnxTensor> {
        val tensors = ArrayList<OnnxTensor>(count)
        OnnxTensor.createTensor(environment, LongBuffer.wrap(shape), longArrayOf(4)).use { input ->
            try {
                repeat(count) {
                    // The result is not closed: that would close the tensor.
                    tensors.add(session.run(mapOf("shape" to input)).get(0) as OnnxTensor)
                }
            } catch (error: OrtException) {
                tensors.forEach { it.close() }
                val elements = shape.fold(1L, Long::times) * count
                throw MemoryException(
                    "there is no memory for a cache of ${shape[2]} tokens ($elements values): " +
                        "ask for fewer tokens, or close other applications",
                    Problem.OutOfMemory,
                    error,
                )
            }
        }
        return tensors
    }

    override fun close() = session.close()
}
