package dev.gpt2edge

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Whether this processor overflows when ONNX Runtime multiplies signed 8-bit weights, as x86 with
 * AVX2 but without VNNI does; runtime/gpt2_edge/graph/int8_overflow.py tells more. Arm never does.
 */
internal object Int8Overflow {
    // The Python runtime's file, copied into the build: y = A B for A uint8 [2, 32], B all 127.
    private const val PROBE = "/dev/gpt2edge/int8_probe.onnx"
    private const val ROWS = 2
    private const val INNER = 32
    private const val EXACT = 255 * 127 * INNER

    val signedWeightsOverflow: Boolean by lazy { isX86() && probe() }

    private fun isX86(): Boolean {
        val architecture = System.getProperty("os.arch").orEmpty()
        return architecture in setOf("x86_64", "amd64", "x86", "i386", "i686")
    }

    private fun probe(): Boolean {
        // Without the file the answer is the one that is right everywhere, if slower.
        val model = javaClass.getResourceAsStream(PROBE)?.use { it.readBytes() } ?: return true
        return try {
            run(model).any { it != EXACT }
        } catch (error: OrtException) {
            true
        }
    }

    private fun run(model: ByteArray): List<Int> {
        val environment = OrtEnvironment.getEnvironment()
        val data = ByteBuffer.allocateDirect(ROWS * INNER).order(ByteOrder.nativeOrder())
        repeat(ROWS * INNER) { data.put(it, 255.toByte()) }
        val shape = longArrayOf(ROWS.toLong(), INNER.toLong())
        OrtSession.SessionOptions().use { options ->
            options.setIntraOpNumThreads(1)
            environment.createSession(model, options).use { session ->
                OnnxTensor.createTensor(environment, data, shape, OnnxJavaType.UINT8).use { input ->
                    session.run(mapOf("a" to input)).use { result ->
                        val sums = (result.get(0) as OnnxTensor).intBuffer
                        return List(sums.remaining()) { sums.get(it) }
                    }
                }
            }
        }
    }
}
