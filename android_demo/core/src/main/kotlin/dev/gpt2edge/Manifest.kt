package dev.gpt2edge

import java.io.File

/** The newest package format that this version reads. */
const val FORMAT_VERSION = 1
internal const val MANIFEST_FILE = "manifest.json"

/** What stands for a layer's number in names of inputs and outputs. */
internal const val LAYER = "{i}"

/** Sizes that a runtime needs; [headSize] is that of the cache, padding included. */
data class Architecture(
    val numLayers: Int,
    val numHeads: Int,
    val headSize: Int,
    val hiddenSize: Int,
    val vocabSize: Int,
    val contextLength: Int,
)

/** Names of the graph's inputs and outputs; `{i}` stands for the layer's number. */
data class GraphNames(
    val inputIds: String,
    val attentionMask: String,
    val positionIds: String?,
    val pastKey: String,
    val pastValue: String,
    val logitsToKeep: String?,
    val logits: String,
    val presentKey: String,
    val presentValue: String,
)

/** What the cache of a graph holds; onnxType: its number in onnx.proto. */
enum class CacheType(internal val jsonName: String, internal val bytes: Int, internal val onnxType: Int) {
    FLOAT32("float32", 4, 1),
    FLOAT16("float16", 2, 10),
    INT8("int8", 1, 3),
}

/** Bits of a group's weights, and how many share a scale: null for floats and for one an output. */
data class MatrixFormat(val bits: Int, val blockSize: Int?)

/**
 * How the weights are stored: a format for each group of matrices, or layer by layer ("h.3.mlp.c_fc")
 * where the layers of a group differ, as in the recipe "mixed".
 */
data class Recipe(val name: String, val formats: Map<String, MatrixFormat>)

/** The ONNX graph of a package. */
data class Graph(
    val file: String,
    val flavour: String,
    val cache: String,
    val cacheType: CacheType,
    val minOnnxRuntime: String,
    val names: GraphNames,
)

/** Size in bytes and SHA-256 of one file of the package. */
data class FileRecord(val bytes: Long, val sha256: String)

/**
 * What the package must compute: the greedy continuation of a prompt, and some logits after the
 * prompt by token id, each within [tolerance].
 */
class SelfTest(
    val promptIds: IntArray,
    val expectedIds: IntArray,
    val logits: Map<Int, Float>,
    val tolerance: Float,
)

/** The content of manifest.json: the contract between the export and every runtime. */
class Manifest(
    val formatVersion: Int,
    val name: String,
    val createdBy: String,
    val architecture: Architecture,
    val graph: Graph,
    val recipe: Recipe,
    val tokenizer: String?,
    val bosTokenId: Int?,
    val eosTokenIds: Set<Int>,
    val files: Map<String, FileRecord>,
    val selfTest: SelfTest?,
    val quality: Quality? = null,
) {
    companion object {
        /** Reads the manifest in [folder] and nothing else of it; PackageException as of ModelPackage.open. */
        fun read(folder: File): Manifest = readManifest(folder)
    }
}

/**
 * What the export measured on a text, for people: perplexity, that of the fp32 model, and the mean
 * KL divergence from it in nats per token. What is missing or no number is null.
 */
data class Quality(val perplexity: Double?, val referencePerplexity: Double?, val meanKl: Double?)

/** Nothing is computed with these figures, so what they are not is no reason to refuse a package. */
internal fun qualityOf(value: Any?): Quality? {
    val members = value as? Map<*, *> ?: return null
    fun number(name: String) = (members[name] as? Number)?.toDouble()?.takeIf { it >= 0 && it < Double.POSITIVE_INFINITY }
    return Quality(number("perplexity"), number("reference_perplexity"), number("mean_kl"))
}
