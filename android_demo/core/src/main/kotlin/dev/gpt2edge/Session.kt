package dev.gpt2edge

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import java.util.concurrent.locks.ReentrantReadWriteLock
import kotlin.concurrent.read
import kotlin.concurrent.write

/** A package loaded into ONNX Runtime; it holds no sequence, so threads may share it. */
internal class Session(val modelPackage: ModelPackage, private val threads: Int) : AutoCloseable {
    val environment: OrtEnvironment = ProcessEnd.environment()
    val onnx: OrtSession
    val zeros: NativeZeros
    private val options: OrtSession.SessionOptions
    private val lock = ReentrantReadWriteLock()
    private var closed = false

    private val allPositions by lazy { OnnxTensor.createTensor(environment, longArrayOf(0)) } // outlives the session
    private val everyPositionLoaded = lazy { loadEveryPosition() }

    /**
     * The same graph with the logits of every position, for scoring. The Java API cannot feed an input
     * that has a default, so the default is another one here: loaded by the first who asks.
     */
    val everyPosition: OrtSession by everyPositionLoaded

    init {
        checkOnnxRuntime(modelPackage, environment.version)
        options = sessionOptions(threads)
        try {
            // By path: ONNX Runtime maps the weights, and the Java heap never sees them.
            onnx = environment.createSession(modelPackage.modelFile.path, options)
        } catch (error: OrtException) {
            options.close()
            throw notLoaded(error)
        }
        try {
            zeros = NativeZeros(environment, modelPackage.manifest.graph.cacheType)
        } catch (error: OrtException) {
            onnx.close()
            options.close()
            throw notLoaded(error)
        }
        if (!modelPackage.hasPositions) {
            try {
                probeContext()
            } catch (error: Exception) {
                close()
                throw error
            }
        }
    }

    private fun loadEveryPosition(): OrtSession {
        val keep = checkNotNull(modelPackage.manifest.graph.names.logitsToKeep) // GraphCheck wants it
        try {
            sessionOptions(threads).use { options ->
                options.addInitializer(keep, allPositions)
                return environment.createSession(modelPackage.modelFile.path, options)
            }
        } catch (error: OrtException) {
            throw notLoaded(error)
        }
    }

    /** A new empty sequence with room for [capacity] tokens (at most the context length). */
    fun start(capacity: Int) = ProcessEnd.computing { TokenSequence(this, capacity) }

    /** Runs [work] while the session cannot be closed. */
    fun <T> whileOpen(work: () -> T): T =
        lock.read {
            if (closed) {
                throw GPT2EdgeException("${modelPackage.folder} was closed; load it again", Problem.Closed)
            }
            work()
        }

    /** What to throw for logits after [tokens] of which no token can be chosen. */
    fun notNumbers(tokens: Int) =
        GenerationException(
            "${modelPackage.modelFile} gives logits that are not numbers after $tokens tokens; " +
                "export the model again with another recipe",
            Problem.NotNumbers(modelPackage.modelFile),
        )

    /** Waits for what is running, then frees the model. */
    override fun close() =
        lock.write {
            if (!closed) {
                closed = true
                ProcessEnd.freeing(::free)
            }
        }

    private fun free() {
        zeros.close()
        if (everyPositionLoaded.isInitialized()) {
            everyPosition.close()
            allPositions.close()
        }
        onnx.close()
        options.close()
    }

    /** Where no table in the file tells, one step at the last position shows that the graph has it. */
    private fun probeContext() {
        val last = modelPackage.manifest.architecture.contextLength - 1
        try {
            start(1).use { it.probe(last) }
        } catch (error: MemoryException) {
            throw error
        } catch (error: GPT2EdgeException) {
            throw PackageException(
                "${modelPackage.modelFile} cannot compute position $last, which the manifest's " +
                    "context_length promises: ${error.message}",
                Problem.GraphFailed(modelPackage.modelFile),
                error,
            )
        }
    }

    private fun sessionOptions(threads: Int) =
        OrtSession.SessionOptions().apply {
            setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR)
            setIntraOpNumThreads(if (threads > 0) threads else Threads.bigCores())
            setMemoryPatternOptimization(false) // plans memory per input shape; ours change every step
            // Unsigned weights are exact everywhere and slower where signed ones are.
            if (Int8Overflow.signedWeightsOverflow) addConfigEntry("session.x64quantprecision", "1")
        }

    private fun notLoaded(error: OrtException): GPT2EdgeException {
        if (error.isOutOfMemory()) {
            return MemoryException(
                "there is no memory to load ${modelPackage.modelFile} " +
                    "(${megabytes(modelPackage.modelBytes)}): close other applications, or export a " +
                    "smaller recipe",
                Problem.OutOfMemory,
                error,
            )
        }
        return PackageException(
            "${modelPackage.modelFile} cannot be loaded by ONNX Runtime ${environment.version}: " +
                error.firstLine(),
            Problem.GraphFailed(modelPackage.modelFile),
            error,
        )
    }
}

internal fun OrtException.isOutOfMemory(): Boolean {
    val text = message.orEmpty()
    return "bad_alloc" in text || "Failed to allocate memory" in text || "bad allocation" in text
}

/** As people write it: 5.3 MB. */
internal fun megabytes(bytes: Long): String = String.format(java.util.Locale.ROOT, "%.1f MB", bytes / 1e6)
