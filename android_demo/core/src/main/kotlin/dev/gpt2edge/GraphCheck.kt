package dev.gpt2edge

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo

private val VERSION = Regex("[0-9]+(\\.[0-9]+)*")

/** PackageException if this ONNX Runtime is older than the package needs. */
internal fun checkOnnxRuntime(modelPackage: ModelPackage, version: String) {
    val minimum = modelPackage.manifest.graph.minOnnxRuntime
    if (!VERSION.matches(minimum)) {
        throw PackageException(
            "${modelPackage.folder}: the manifest asks for ONNX Runtime '$minimum', which is no version"
        )
    }
    val (thisMajor, thisMinor) = numbers(version)
    val (major, minor) = numbers(minimum)
    if (thisMajor < major || thisMajor == major && thisMinor < minor) {
        throw PackageException(
            "${modelPackage.folder} needs ONNX Runtime $minimum or later, this is $version: " +
                "upgrade the application"
        )
    }
}

private fun numbers(version: String): List<Int> =
    (Regex("[0-9]+").findAll(version).map { it.value.toIntOrNull() ?: Int.MAX_VALUE } + listOf(0, 0))
        .take(2)
        .toList()

/** PackageException unless the graph's inputs, outputs and sizes are the manifest's. */
internal fun checkGraph(session: OrtSession, modelPackage: ModelPackage) {
    val path = modelPackage.modelFile
    val architecture = modelPackage.manifest.architecture
    val graph = modelPackage.manifest.graph
    val names = graph.names
    val inputs = session.inputInfo.mapValues { it.value.tensor() }
    val outputs = session.outputInfo.mapValues { it.value.tensor() }

    val layers = 0 until architecture.numLayers
    val past = layers.flatMap { listOf(names.pastKey.forLayer(it), names.pastValue.forLayer(it)) }
    val present = layers.flatMap { listOf(names.presentKey.forLayer(it), names.presentValue.forLayer(it)) }
    val required = listOfNotNull(names.inputIds, names.attentionMask, names.positionIds) + past
    // The Java API does not show inputs that have a default; ours is fed only where it has none.
    val known = required.toSet() + setOfNotNull(names.logitsToKeep)

    for (name in required) {
        if (name !in inputs) throw PackageException("$path has no input $name, which the manifest names")
    }
    for (name in inputs.keys) {
        if (name !in known) {
            throw PackageException("$path needs the input $name, which the manifest does not name")
        }
    }
    for (name in present + names.logits) {
        if (name !in outputs) throw PackageException("$path has no output $name, which the manifest names")
    }
    if (names.logitsToKeep == null) {
        throw PackageException(
            "$path gives the logits of every token (the manifest names no logits_to_keep), which " +
                "takes more memory than a phone has: export the model with the flavour fused"
        )
    }
    val type =
        when (graph.cacheType) {
            CacheType.FLOAT32 -> OnnxJavaType.FLOAT
            CacheType.FLOAT16 -> OnnxJavaType.FLOAT16
            CacheType.INT8 -> OnnxJavaType.INT8
        }
    for (name in past) {
        val found = inputs.getValue(name)
        if (found?.type != type) {
            throw PackageException(
                "$path has the input $name as ${found?.type}, the manifest says " +
                    "${graph.cacheType.jsonName}; export the package again"
            )
        }
    }
    val heads = listOf(architecture.numHeads.toLong(), architecture.headSize.toLong())
    val otherHeads = past.any { name ->
        val shape = inputs.getValue(name)?.shape
        shape == null || shape.size != 4 || listOf(shape[1], shape[3]) != heads
    }
    val vocabulary = outputs.getValue(names.logits)?.shape?.lastOrNull()
    if (otherHeads || vocabulary != architecture.vocabSize.toLong()) {
        throw PackageException(
            "$path has other heads or another vocabulary than the manifest says; " +
                "export the package again"
        )
    }
}

internal fun String.forLayer(layer: Int): String = replace("{i}", layer.toString())

private fun NodeInfo.tensor(): TensorInfo? = info as? TensorInfo
