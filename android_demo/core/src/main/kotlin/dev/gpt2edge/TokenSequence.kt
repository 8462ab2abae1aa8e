package dev.gpt2edge

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OnnxTensorLike
import ai.onnxruntime.OrtException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.LongBuffer

/**
 * One sequence: the tokens fed so far and their cache. Not to be shared by threads.
 *
 * Everything that a step needs is allocated here, once. The cache's tensors are both past and
 * present, so GroupQueryAttention writes new keys and values behind the old ones and no step copies
 * them; one step makes one small tensor, because the mask's shape changes.
 */
internal class TokenSequence(private val session: Session, capacity: Int) : FedSequence, AutoCloseable {
    private val architecture = session.modelPackage.manifest.architecture
    private val names = session.modelPackage.manifest.graph.names

    override val capacity = minOf(capacity, architecture.contextLength)

    override var length = 0
        private set

    override val logits = FloatArray(architecture.vocabSize)

    private val ids = IntArray(this.capacity)
    private val inputs = LinkedHashMap<String, OnnxTensorLike>()
    private val outputs = LinkedHashMap<String, OnnxTensor>()
    private val owned = ArrayList<OnnxTensor>()

    private val idBuffer = longs(minOf(this.capacity, longestPart(PREFILL_CHUNK)))
    private val positionBuffer = longs(idBuffer.capacity())
    private val mask = longs(this.capacity).also { for (place in 0 until this.capacity) it.put(place, 1) }
    private val logitsBuffer: FloatBuffer = bytes(4 * architecture.vocabSize).asFloatBuffer()
    private var rows: FloatBuffer? = null // the logits of every position of the last feed that asked for them
    private val oneId: OnnxTensor
    private val onePosition: OnnxTensor

    init {
        try {
            allocateCache()
            outputs[names.logits] = own(createLogits())
            // A default would do, but a graph may declare it as an input like any other.
            names.logitsToKeep?.takeIf { it in session.onnx.inputNames }?.let { name ->
                inputs[name] = own(tensor(longs(1).apply { put(0, 1) }, 1, 1))
            }
            oneId = own(tensor(idBuffer, 1, 1, 1))
            onePosition = own(tensor(positionBuffer, 1, 1, 1))
        } catch (error: OrtException) {
            close()
            throw stepFailed(error, 0)
        } catch (error: Throwable) { // no memory for a buffer is an Error
            close()
            throw error
        }
    }

    override fun ids(): IntArray = ids.copyOf(length)

    override fun prefill(tokens: IntArray, interrupted: () -> Boolean): Boolean =
        prefill(tokens, PREFILL_CHUNK, interrupted)

    /** In parts of at most [chunk] tokens; [logits] are the same to the bit whatever the parts. */
    fun prefill(tokens: IntArray, chunk: Int = PREFILL_CHUNK, interrupted: () -> Boolean = { false }): Boolean {
        requireRoom(tokens.size)
        tokens.copyInto(ids, length)
        val end = length + tokens.size
        while (length < end) {
            if (interrupted()) return false
            val part = nextPart(length, end, chunk)
            feed(part.begin, part.end)
        }
        return true
    }

    override fun feed(id: Int) {
        requireRoom(1)
        ids[length] = id
        feed(length, length + 1)
    }

    /** Feeds [tokens] in one run, SCORED_ROWS at most. everyPosition: for [readLogits]; else [logits] are the last's. */
    fun feed(tokens: IntArray, everyPosition: Boolean) {
        requireRoom(tokens.size)
        tokens.copyInto(ids, length)
        feed(length, length + tokens.size, everyPosition = everyPosition)
    }

    /** [logits] become those after token number [row] of the last feed of every position. */
    fun readLogits(row: Int) {
        val all = checkNotNull(rows)
        all.position(row * architecture.vocabSize)
        all.get(logits)
    }

    override fun trim(length: Int) {
        require(length in 0..this.length) { "length is $length; it must be 0 to ${this.length}" }
        this.length = length
    }

    override fun notNumbers() = session.notNumbers(length)

    /** Computes one token at [position] in an empty cache: the sequence is of no use after that. */
    fun probe(position: Int) = feed(0, 1, firstPosition = position)

    /** One step: feeds `ids[start, end)`, where the cache holds the tokens before. */
    private fun feed(start: Int, end: Int, firstPosition: Int = start, everyPosition: Boolean = false) {
        ProcessEnd.computing { step(start, end, firstPosition, everyPosition) }
        length = end
        if (!everyPosition) logitsBuffer.duplicate().get(logits)
    }

    private fun step(start: Int, end: Int, firstPosition: Int, everyPosition: Boolean) {
        val tokens = end - start
        for (index in 0 until tokens) {
            idBuffer.put(index, ids[start + index].toLong())
            positionBuffer.put(index, (firstPosition + index).toLong())
        }
        val perStep = ArrayList<OnnxTensor>(3)
        fun shaped(buffer: LongBuffer, count: Int) = tensor(buffer, count, 1, count).also(perStep::add)
        try {
            inputs[names.inputIds] = if (tokens == 1) oneId else shaped(idBuffer, tokens)
            inputs[names.attentionMask] = shaped(mask, end)
            names.positionIds?.let {
                inputs[it] = if (tokens == 1) onePosition else shaped(positionBuffer, tokens)
            }
            if (everyPosition) runForEveryPosition()
            else session.onnx.run(inputs, outputs).close() // the outputs are ours and stay open
        } catch (error: OrtException) {
            throw stepFailed(error, end)
        } finally {
            perStep.forEach { it.close() }
        }
    }

    /** ONNX Runtime allocates the logits here: the graph declares one position, which it believes of given memory. */
    private fun runForEveryPosition() {
        rows = null // before the next ones are there
        val fed = inputs - listOfNotNull(names.logitsToKeep)
        session.everyPosition.run(fed, setOf(names.logits), outputs - names.logits).use { found ->
            rows = (found.get(names.logits).get() as OnnxTensor).floatBuffer
        }
    }

    override fun close() = ProcessEnd.freeing { owned.forEach { it.close() } }

    private fun allocateCache() {
        val shape =
            longArrayOf(1, architecture.numHeads.toLong(), capacity.toLong(), architecture.headSize.toLong())
        val tensors = session.zeros.allocate(2 * architecture.numLayers, shape)
        owned.addAll(tensors)
        for (layer in 0 until architecture.numLayers) {
            inputs[names.pastKey.forLayer(layer)] = tensors[2 * layer]
            outputs[names.presentKey.forLayer(layer)] = tensors[2 * layer]
            inputs[names.pastValue.forLayer(layer)] = tensors[2 * layer + 1]
            outputs[names.presentValue.forLayer(layer)] = tensors[2 * layer + 1]
        }
    }

    private fun createLogits(): OnnxTensor =
        OnnxTensor.createTensor(
            session.environment,
            logitsBuffer,
            longArrayOf(1, 1, architecture.vocabSize.toLong()),
        )

    /** The first [count] of [buffer] as a tensor of [shape], without a copy. */
    private fun tensor(buffer: LongBuffer, count: Int, vararg shape: Int): OnnxTensor {
        val view = buffer.duplicate()
        view.limit(count)
        val sizes = LongArray(shape.size) { shape[it].toLong() }
        return OnnxTensor.createTensor(session.environment, view, sizes)
    }

    private fun own(tensor: OnnxTensor): OnnxTensor = tensor.also(owned::add)

    private fun requireRoom(tokens: Int) {
        if (tokens !in 1..capacity - length) {
            throw ContextOverflowException(
                "$tokens more tokens do not fit behind $length in a cache of $capacity",
                Problem.PromptTooLong(length + tokens, capacity),
            )
        }
    }

    private fun stepFailed(error: OrtException, end: Int): GPT2EdgeException {
        if (error.isOutOfMemory()) {
            return MemoryException(
                "there is no memory left to compute token $end: close other applications, or shorten " +
                    "the text",
                Problem.OutOfMemory,
                error,
            )
        }
        return GPT2EdgeException(
            "${session.modelPackage.modelFile} failed at token $end: ${error.firstLine()}",
            Problem.GraphFailed(session.modelPackage.modelFile),
            error,
        )
    }

    private companion object {
        fun bytes(count: Int): ByteBuffer =
            ByteBuffer.allocateDirect(count).order(ByteOrder.nativeOrder())

        fun longs(count: Int): LongBuffer = bytes(8 * count).asLongBuffer()
    }
}
