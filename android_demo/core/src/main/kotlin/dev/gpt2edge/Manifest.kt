package dev.gpt2edge

import java.io.File
import java.io.IOException

/** The newest package format that this version reads. */
const val FORMAT_VERSION = 1
internal const val MANIFEST_FILE = "manifest.json"

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

/** What the cache of a graph holds. */
enum class CacheType(internal val jsonName: String, internal val bytes: Int) {
    FLOAT32("float32", 4),
    FLOAT16("float16", 2),
    INT8("int8", 1),
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
)

/** The manifest of the package in [folder]; PackageException in one line if it cannot be used. */
internal fun readManifest(folder: File): Manifest {
    if (!folder.isDirectory) throw PackageException("$folder: no such package folder")
    val path = File(folder, MANIFEST_FILE)
    if (!path.isFile) {
        throw PackageException(
            "$folder has no $MANIFEST_FILE; is it a package that gpt2-edge export wrote?"
        )
    }
    val raw =
        try {
            path.strictUtf8Reader().use { reader ->
                JsonReader(reader).run { readValue().also { finish() } }
            }
        } catch (error: JsonException) {
            throw unreadable(path, error)
        } catch (error: IOException) {
            throw unreadable(path, error)
        }
    val version = (raw as? Map<*, *>)?.get("format_version") as? Long
        ?: throw PackageException("$path has no format_version; copy the package again")
    if (version > FORMAT_VERSION) {
        throw PackageException(
            "$path has format version $version; this gpt2-edge reads up to $FORMAT_VERSION: " +
                "upgrade the application, or export the model with an older gpt2-edge"
        )
    }
    val manifest =
        try {
            Fields(raw, "manifest").manifest()
        } catch (error: FieldException) {
            throw PackageException("$path is damaged (${error.message}); copy the package again")
        } catch (error: UnknownValueException) {
            throw PackageException("$path has ${error.message}: upgrade the application")
        }
    if (manifest.graph.cache != SHARED_CACHE) {
        throw PackageException(
            "$path is of the flavour '${manifest.graph.flavour}' (graph.cache " +
                "'${manifest.graph.cache}'); this application runs the flavour fused (cache " +
                "'$SHARED_CACHE') only: export the model with --flavour fused"
        )
    }
    return manifest
}

private const val SHARED_CACHE = "shared"

private fun unreadable(path: File, error: Exception) =
    PackageException("$path cannot be read as JSON (${error.firstLine()}); copy the package again")

private class FieldException(message: String) : Exception(message)

private class UnknownValueException(message: String) : Exception(message)

/** The members of one JSON object, each checked for its type; messages name where it stands. */
private class Fields(private val members: Map<*, *>, private val where: String) {
    fun manifest(): Manifest =
        Manifest(
            formatVersion = int("format_version"),
            name = string("name"),
            createdBy = string("created_by"),
            architecture = fields("architecture").architecture(),
            graph = fields("graph").graph(),
            recipe = fields("recipe").recipe(),
            tokenizer = stringOrNull("tokenizer"),
            bosTokenId = if (required("bos_token_id") == null) null else int("bos_token_id"),
            eosTokenIds = ints("eos_token_ids").toSet(),
            files = fields("files").records(),
            selfTest = if (members["self_test"] == null) null else fields("self_test").selfTest(),
        )

    private fun architecture() =
        Architecture(
            numLayers = size("num_layers"),
            numHeads = size("num_heads"),
            headSize = size("head_size"),
            hiddenSize = size("hidden_size"),
            vocabSize = size("vocab_size"),
            contextLength = size("context_length"),
        )

    /** Members that are no objects may come with later minor versions. */
    private fun recipe() =
        Recipe(
            name = string("name"),
            formats =
                members.filterValues { it is Map<*, *> }.keys.map { it as String }.associateWith {
                    fields(it).matrixFormat()
                },
        )

    private fun matrixFormat() =
        MatrixFormat(
            bits = size("bits"),
            blockSize = if (members["block_size"] == null) null else size("block_size"),
        )

    private fun graph(): Graph {
        val type = string("cache_dtype")
        val known = CacheType.values()
        return Graph(
            file = string("file"),
            flavour = string("flavour"),
            cache = string("cache"),
            cacheType =
                known.firstOrNull { it.jsonName == type }
                    ?: throw UnknownValueException(
                        "graph.cache_dtype '$type'; this gpt2-edge knows " +
                            known.joinToString { it.jsonName }
                    ),
            minOnnxRuntime = string("min_onnxruntime"),
            names = fields("names").names(),
        )
    }

    // The defaults are those of the format (docs/PACKAGE.md).
    private fun names() =
        GraphNames(
            inputIds = string("input_ids", "input_ids"),
            attentionMask = string("attention_mask", "attention_mask"),
            positionIds = if ("position_ids" in members) stringOrNull("position_ids") else "position_ids",
            pastKey = string("past_key", "past_key_values.{i}.key"),
            pastValue = string("past_value", "past_key_values.{i}.value"),
            logitsToKeep =
                if ("logits_to_keep" in members) stringOrNull("logits_to_keep") else "logits_to_keep",
            logits = string("logits", "logits"),
            presentKey = string("present_key", "present.{i}.key"),
            presentValue = string("present_value", "present.{i}.value"),
        )

    private fun records(): Map<String, FileRecord> =
        members.keys.map { it as String }.associateWith { name ->
            fields(name).run { FileRecord(long("bytes"), string("sha256")) }
        }

    private fun selfTest(): SelfTest {
        val logits = fields("logits")
        return SelfTest(
            promptIds = ints("prompt_ids"),
            expectedIds = ints("expected_ids"),
            logits =
                logits.members.keys.map { it as String }.associate { id ->
                    (id.toIntOrNull() ?: logits.wrong(id)) to logits.number(id).toFloat()
                },
            tolerance = number("tolerance").toFloat(),
        )
    }

    private fun required(name: String): Any? {
        if (name !in members) throw FieldException("$where.$name is missing")
        return members[name]
    }

    private fun fields(name: String) =
        Fields(required(name) as? Map<*, *> ?: wrong(name), "$where.$name")

    private fun string(name: String): String = required(name) as? String ?: wrong(name)

    private fun string(name: String, default: String): String =
        if (name in members) string(name) else default

    private fun stringOrNull(name: String): String? = if (required(name) == null) null else string(name)

    private fun long(name: String): Long = required(name) as? Long ?: wrong(name)

    private fun int(name: String): Int {
        val value = long(name)
        return if (value in Int.MIN_VALUE..Int.MAX_VALUE) value.toInt() else wrong(name)
    }

    private fun size(name: String): Int = int(name).also { if (it < 1) wrong(name) }

    private fun number(name: String): Double = (required(name) as? Number ?: wrong(name)).toDouble()

    private fun ints(name: String): IntArray {
        val list = required(name) as? List<*> ?: wrong(name)
        return IntArray(list.size) { index ->
            val value = list[index] as? Long ?: wrong(name)
            if (value in Int.MIN_VALUE..Int.MAX_VALUE) value.toInt() else wrong(name)
        }
    }

    private fun wrong(name: String): Nothing {
        val value = members[name]
        val shown = if (value is String) "'$value'" else value.toString()
        throw FieldException("$where.$name is ${if (shown.length > 60) shown.take(60) + "…" else shown}")
    }
}
