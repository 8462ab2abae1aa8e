package dev.gpt2edge

import java.io.File
import java.io.IOException

/** An input or output as the graph declares it: ONNX's number of its type, and its shape, -1 for any. */
internal class Declared(val type: Int, val shape: List<Long>)

/**
 * What an ONNX file says of itself, read before ONNX Runtime loads it: inputs that have to be fed,
 * outputs, the files its weights are in, and the tables that it looks rows up in. Graphs with parts
 * that no GPT-2 has are refused (GraphRules).
 *
 * Field numbers are those of onnx.proto.
 */
internal class GraphOutline private constructor(private val proto: ProtoFile) {
    /** Inputs, those with a default included. */
    val inputs = LinkedHashMap<String, Declared>()
    val outputs = LinkedHashMap<String, Declared>()

    /** Of the inputs: those that have a default. */
    val defaults: Set<String>
        get() = inputs.keys.filterTo(HashSet()) { it in initializers }

    /** Every name of a file that any tensor of the graph gives. */
    val externalFiles = LinkedHashSet<String>()

    private val initializers = HashMap<String, List<Long>>() // shapes
    private val gathers = HashMap<String, String>() // indices to table
    private val copies = HashMap<String, String>() // a cast's output to its input

    /** The shape of the table whose rows are looked up by the input [indices]; null if there is none. */
    fun tableOf(indices: String): List<Long>? {
        var name = gathers[indices] ?: return null
        repeat(MOST_COPIES) {
            initializers[name]?.let { return it }
            name = copies[name] ?: return null
        }
        return null
    }

    private fun readModel(model: Message) =
        proto.read(model) { field ->
            when (field) {
                7 -> proto.message(model)?.let { readGraph(it, isMain = true) }
                20 -> proto.message(model)?.let { readTraining(it) }
                25 -> throw UnreadableException("it has operators of its own, as functions")
            }
        }

    private fun readTraining(training: Message) =
        proto.read(training) { field ->
            if (field == 1 || field == 2) proto.message(training)?.let { readGraph(it, isMain = false) }
        }

    private fun readGraph(graph: Message, isMain: Boolean) {
        proto.read(graph) { field ->
            when (field) {
                1 -> proto.message(graph)?.let { readNode(it, isMain) }
                5 -> proto.message(graph)?.let { readTensor(it, if (isMain) initializers else null) }
                11 -> proto.message(graph)?.let { readDeclared(it, if (isMain) inputs else null) }
                12 -> proto.message(graph)?.let { readDeclared(it, if (isMain) outputs else null) }
                15 -> proto.message(graph)?.let { readSparse(it) }
            }
        }
    }

    private fun readSparse(sparse: Message) =
        proto.read(sparse) { field ->
            if (field == 1 || field == 2) proto.message(sparse)?.let { readTensor(it, null) }
        }

    private fun readNode(node: Message, isMain: Boolean) {
        val inputs = ArrayList<String>(4)
        var output: String? = null
        var operator = ""
        var domain = ""
        var holdsGraph = false
        proto.read(node) { field ->
            when (field) {
                1 -> if (inputs.size < 2) proto.text(node)?.let { inputs.add(it) }
                2 -> if (output == null) output = proto.text(node)
                4 -> proto.text(node)?.let { operator = it }
                5 -> proto.message(node)?.let { if (readAttribute(it)) holdsGraph = true }
                7 -> proto.text(node)?.let { domain = it }
            }
        }
        GraphRules.checkNode(operator, domain, holdsGraph)
        if (!isMain || inputs.isEmpty()) return
        if (operator == "Gather" && inputs.size == 2) gathers[inputs[1]] = inputs[0]
        if (operator == "Cast" || operator == "Identity") output?.let { copies[it] = inputs[0] }
    }

    /** Whether it is a graph, or several, which are passed over. */
    private fun readAttribute(attribute: Message): Boolean {
        var isGraph = false
        proto.read(attribute) { field ->
            when (field) {
                5, 10 -> proto.message(attribute)?.let { readTensor(it, null) }
                6, 11 -> isGraph = true
                22, 23 -> proto.message(attribute)?.let { readSparse(it) }
            }
        }
        return isGraph
    }

    private fun readTensor(tensor: Message, shapes: MutableMap<String, List<Long>>?) {
        val shape = ArrayList<Long>(4)
        var name = ""
        proto.read(tensor) { field ->
            when (field) {
                1 -> proto.numbers(tensor) { addTo(shape, it) }
                8 -> proto.text(tensor)?.let { name = it }
                13 -> proto.message(tensor)?.let { readExternal(it) }
            }
        }
        shapes?.put(name, shape)
    }

    /** The entry that names a file, however often and in whichever order its key and value come. */
    private fun readExternal(entry: Message) {
        var isLocation = false
        val values = ArrayList<String>(1)
        proto.read(entry) { field ->
            when (field) {
                1 -> if (proto.text(entry) == "location") isLocation = true
                2 -> proto.text(entry)?.let { values.add(it) }
            }
        }
        if (isLocation) externalFiles.addAll(values)
    }

    private fun readDeclared(value: Message, into: MutableMap<String, Declared>?) {
        var name = ""
        var type = 0
        val shape = ArrayList<Long>(4)
        fun readDimension(dimension: Message) {
            var size = -1L
            proto.read(dimension) { field -> if (field == 1) proto.number()?.let { size = it } }
            addTo(shape, maxOf(size, -1L))
        }
        fun readShape(message: Message) =
            proto.read(message) { field -> if (field == 1) proto.message(message)?.let { readDimension(it) } }
        fun readTensorType(message: Message) =
            proto.read(message) { field ->
                when (field) {
                    1 -> proto.number()?.let { type = it.toInt() }
                    2 -> proto.message(message)?.let { readShape(it) }
                }
            }
        fun readType(message: Message) =
            proto.read(message) { field -> if (field == 1) proto.message(message)?.let { readTensorType(it) } }
        proto.read(value) { field ->
            when (field) {
                1 -> proto.text(value)?.let { name = it }
                2 -> proto.message(value)?.let { readType(it) }
            }
        }
        into?.put(name, Declared(type, shape))
    }

    private fun addTo(shape: MutableList<Long>, size: Long) {
        if (shape.size == MOST_DIMENSIONS) throw UnreadableException("it has a shape of more than $MOST_DIMENSIONS")
        shape.add(size)
    }

    companion object {
        private const val MOST_DIMENSIONS = 16
        private const val MOST_COPIES = 8

        /** Reads the ONNX [file]; PackageException if it is none. */
        fun read(file: File): GraphOutline =
            try {
                ProtoFile(file).use { proto -> GraphOutline(proto).apply { readModel(proto.whole()) } }
            } catch (error: UnreadableException) {
                throw unreadable(file, error)
            } catch (error: IOException) {
                throw unreadable(file, error)
            }

        private fun unreadable(file: File, error: Exception) =
            PackageException(
                "$file is no ONNX file that can be read (${error.firstLine()}); export the package again",
                Problem.FileDamaged(file),
                error,
            )
    }
}
