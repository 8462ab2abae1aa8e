package dev.gpt2edge

// Types as onnx.proto numbers them.
private const val FLOAT = 1
private const val INT64 = 7
private val TYPE_NAMES = mapOf(FLOAT to "float32", 3 to "int8", 6 to "int32", INT64 to "int64", 10 to "float16", 11 to "float64")
private const val ANY = -1L

/** PackageException if this ONNX Runtime is older than the package needs. */
internal fun checkOnnxRuntime(modelPackage: ModelPackage, version: String) {
    val minimum = modelPackage.manifest.graph.minOnnxRuntime
    val (thisMajor, thisMinor) = numbers(version)
    val (major, minor) = numbers(minimum)
    if (thisMajor < major || thisMajor == major && thisMinor < minor) {
        throw PackageException(
            "${modelPackage.folder} needs ONNX Runtime $minimum or later, this is $version: " +
                "upgrade the application",
            Problem.OlderOnnxRuntime(minimum, version),
        )
    }
}

private fun numbers(version: String): List<Int> =
    (Regex("[0-9]+").findAll(version).map { it.value.toIntOrNull() ?: Int.MAX_VALUE } + listOf(0, 0))
        .take(2)
        .toList()

/** Compares the graph of the package with its manifest, before either is believed. */
internal class GraphCheck(private val modelPackage: ModelPackage, private val outline: GraphOutline) {
    private val path = modelPackage.modelFile
    private val architecture = modelPackage.manifest.architecture
    private val graph = modelPackage.manifest.graph
    private val names = graph.names
    private val heads = architecture.numHeads.toLong()
    private val headSize = architecture.headSize.toLong()

    /** PackageException unless inputs, outputs, types and sizes are the manifest's. */
    fun check() {
        val fed = hashSetOf(names.inputIds, names.attentionMask)
        requireInput(names.inputIds, INT64, ANY, ANY)
        requireInput(names.attentionMask, INT64, ANY, ANY)
        names.positionIds?.let {
            requireInput(it, INT64, ANY, ANY)
            fed.add(it)
        }
        requireLogits()
        names.logitsToKeep?.let { fed.add(it) }
        // A layer at a time: the first that the graph lacks ends it.
        for (layer in 0 until architecture.numLayers) {
            for (pattern in listOf(names.pastKey, names.pastValue)) {
                val name = pattern.forLayer(layer)
                requireCache("input", name, outline.inputs[name])
                if (!fed.add(name)) fail("has the input ${shown(name)} once, which the manifest names twice")
            }
            for (pattern in listOf(names.presentKey, names.presentValue)) {
                val name = pattern.forLayer(layer)
                requireCache("output", name, outline.outputs[name])
            }
        }
        val defaults = outline.defaults
        for (name in outline.inputs.keys) {
            if (name !in fed && name !in defaults) {
                fail("needs the input ${shown(name)}, which the manifest does not name")
            }
        }
        requirePositions()
    }

    private fun requireLogits() {
        val logits =
            outline.outputs[names.logits] ?: fail("has no output ${shown(names.logits)}, which the manifest names")
        requireType("output", names.logits, logits, FLOAT)
        val vocabulary = architecture.vocabSize.toLong()
        if (logits.shape.lastOrNull() != vocabulary || !logits.agrees(ANY, ANY, vocabulary)) {
            fail(
                "has another vocabulary than the manifest says (vocab_size $vocabulary): " +
                    "its ${shown(names.logits)} have the shape ${logits.shape}; export the package again"
            )
        }
        val keep =
            names.logitsToKeep
                ?: fail(
                    "gives the logits of every token (the manifest names no logits_to_keep), which takes " +
                        "more memory than a phone has: export the model with the flavour fused"
                )
        requireInput(keep, INT64, ANY)
    }

    /** Rows of the position table are looked up in the file; what has none there fails when it runs. */
    private fun requirePositions() {
        val table = names.positionIds?.let { outline.tableOf(it) } ?: return
        if (table.size != 2 || table[0] < architecture.contextLength) {
            fail(
                "has positions of the shape $table, fewer than the manifest's context_length of " +
                    "${architecture.contextLength}; export the package again"
            )
        }
        if (table[1] != architecture.hiddenSize.toLong()) {
            fail(
                "has positions of the shape $table, the manifest says hidden_size " +
                    "${architecture.hiddenSize}; export the package again"
            )
        }
    }

    private fun requireCache(kind: String, name: String, found: Declared?) {
        if (found == null) fail("has no $kind ${shown(name)}, which the manifest names")
        requireType(kind, name, found, graph.cacheType.onnxType)
        if (found.shape.getOrNull(1) != heads || found.shape.last() != headSize || !found.agrees(ANY, heads, ANY, headSize)) {
            fail(
                "has other heads than the manifest says (num_heads $heads, head_size $headSize): the " +
                    "$kind ${shown(name)} has the shape ${found.shape}; export the package again"
            )
        }
    }

    private fun requireInput(name: String, type: Int, vararg shape: Long) {
        val found = outline.inputs[name] ?: fail("has no input ${shown(name)}, which the manifest names")
        requireType("input", name, found, type)
        if (!found.agrees(*shape)) {
            fail("has the input ${shown(name)} with the shape ${found.shape}; export the package again")
        }
    }

    private fun requireType(kind: String, name: String, found: Declared, type: Int) {
        if (found.type == type) return
        fail(
            "has the $kind ${shown(name)} as ${typeName(found.type)}, the manifest says ${typeName(type)}; " +
                "export the package again"
        )
    }

    private fun typeName(type: Int) = TYPE_NAMES[type] ?: "type $type"

    /** A size that the graph leaves open goes with any; one that we leave open has to be open or 1. */
    private fun Declared.agrees(vararg expected: Long): Boolean =
        shape.size == expected.size &&
            shape.indices.all { shape[it] == expected[it] || shape[it] == ANY || isOne(it, expected[it]) }

    // One sequence at a time, and of its logits one row: these two may be fixed.
    private fun Declared.isOne(index: Int, expected: Long): Boolean =
        expected == ANY && shape[index] == 1L && (index == 0 || index == 1 && type == FLOAT && shape.size == 3)

    private fun fail(problem: String): Nothing = throw PackageException("$path $problem", Problem.FileDamaged(path))
}

internal fun String.forLayer(layer: Int): String = replace(LAYER, layer.toString())
