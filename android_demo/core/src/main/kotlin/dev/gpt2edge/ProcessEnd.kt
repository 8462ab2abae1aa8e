package dev.gpt2edge

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtLoggingLevel
import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantReadWriteLock
import kotlin.concurrent.read

/**
 * What computes while the process ends. A JVM that ends frees ONNX Runtime and unloads its library, whatever its
 * threads do, and one that is within it then ends the process with a SIGSEGV in place of its exit status. So every
 * stretch of work in the library is one of [computing]: a shutdown hook waits for those that run and lets none
 * begin. Each is short, a load or one step of a text.
 */
internal object ProcessEnd {
    private const val WAITS = 60L // seconds
    private val lock = ReentrantReadWriteLock()

    /** The process ends: nothing is computed any more. */
    @Volatile
    var begun = false
        private set

    init {
        try {
            Runtime.getRuntime().addShutdownHook(Thread(::end, "gpt2-edge end"))
        } catch (error: IllegalStateException) { // it ends already
            begun = true
        }
    }

    /** Runs [work], which calls ONNX Runtime; GPT2EdgeException where the process ends. */
    fun <T> computing(work: () -> T): T =
        lock.read {
            if (begun) throw GPT2EdgeException("the process ends; nothing is computed any more", Problem.Closed)
            work()
        }

    /** Runs [work], which gives ONNX Runtime's memory back, unless the process ends, which does the same. */
    fun freeing(work: () -> Unit) = lock.read { if (!begun) work() }

    /** ONNX Runtime's environment, which from now on outlives its own shutdown hook. */
    fun environment(): OrtEnvironment = OrtEnvironment.getEnvironment().also { environmentKept }

    /**
     * That hook frees the environment at once, beside ours, while steps that run still need it. The library counts
     * how often it was asked for it; the Java API asks once, so the second time is by its private method. Without
     * that, in a version that has it no more, a step that runs is not safe; nothing else depends on it.
     */
    private val environmentKept by lazy {
        try {
            val api = Class.forName("ai.onnxruntime.OnnxRuntime").getDeclaredField("ortApiHandle")
            val create =
                OrtEnvironment::class.java.getDeclaredMethod("createHandle", Long::class.java, Int::class.java, String::class.java)
            api.isAccessible = true
            create.isAccessible = true
            create.invoke(null, api.getLong(null), OrtLoggingLevel.ORT_LOGGING_LEVEL_WARNING.value, "gpt2-edge")
        } catch (error: ReflectiveOperationException) {
            null
        } catch (error: RuntimeException) { // its module is not open
            null
        }
    }

    private fun end() {
        begun = true
        if (lock.writeLock().tryLock(WAITS, TimeUnit.SECONDS)) lock.writeLock().unlock()
    }
}
