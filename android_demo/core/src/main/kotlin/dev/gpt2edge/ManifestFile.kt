package dev.gpt2edge

import java.io.File

/*
 * Reads manifest.json. Nothing in it is believed: types, ranges and names are checked here before
 * anything is allocated, opened or counted by them, and GraphCheck.kt compares them with the graph.
 */

private const val FLAVOUR = "fused"
private const val SHARED_CACHE = "shared"

// What GPT-2 has, with much room.
private const val MOST_LAYERS = 1_000
private const val MOST_HEADS = 10_000
private const val MOST_HEAD_SIZE = 65_536
private const val MOST_HIDDEN = 1_000_000
private const val MOST_TOKENS = 10_000_000 // of the vocabulary, and of the context
private const val LONGEST_NAME = 255
private const val HASH_DIGITS = 64
private val VERSION = Regex("[0-9]{1,6}(\\.[0-9]{1,6}){0,3}")

/** The manifest of the package in [folder]; PackageException in one line if it cannot be used. */
internal fun readManifest(folder: File): Manifest {
    if (!folder.isDirectory) throw PackageException("$folder: no such package folder", Problem.NoPackage(folder))
    val path = File(folder, MANIFEST_FILE)
    if (!path.exists()) {
        throw PackageException(
            "$folder has no $MANIFEST_FILE; is it a package that gpt2-edge export wrote?",
            Problem.NoPackage(folder),
        )
    }
    val raw =
        try {
            path.readJson(JSON_LIMIT) { readValue() }
        } catch (error: UnreadableException) {
            throw PackageException(
                "$path cannot be read as JSON (${error.message}); copy the package again",
                Problem.FileDamaged(path),
                error,
            )
        }
    requireVersion(path, (raw as? Map<*, *>)?.get("format_version"))
    val manifest =
        try {
            Fields(raw as Map<*, *>, "manifest").manifest()
        } catch (error: FieldException) {
            throw damaged(path, "is damaged (${error.message}); copy the package again")
        } catch (error: UnknownValueException) {
            throw PackageException("$path has ${error.message}: upgrade the application", Problem.NewerPackage(path))
        }
    val graph = manifest.graph
    if (graph.flavour != FLAVOUR || graph.cache != SHARED_CACHE) {
        throw PackageException(
            "$path is of the flavour ${shown(graph.flavour)} (graph.cache ${shown(graph.cache)}); " +
                "this application runs the flavour $FLAVOUR (cache '$SHARED_CACHE') only: export the " +
                "model with --flavour $FLAVOUR",
            Problem.OtherFlavour(graph.flavour),
        )
    }
    return manifest
}

private fun requireVersion(path: File, found: Any?) {
    val version = found as? Long
        ?: throw damaged(path, "has no format_version that is a number; copy the package again")
    if (version > FORMAT_VERSION) {
        throw PackageException(
            "$path has format version $version; this gpt2-edge reads up to $FORMAT_VERSION: " +
                "upgrade the application, or export the model with an older gpt2-edge",
            Problem.NewerPackage(path),
        )
    }
    if (version < 1) {
        throw damaged(path, "has format version $version, which there never was; copy the package again")
    }
}

private class FieldException(message: String) : Exception(message)

private class UnknownValueException(message: String) : Exception(message)

/** The members of one JSON object, each checked for its type; messages name where it stands. */
private class Fields(private val members: Map<*, *>, private val where: String) {
    fun manifest(): Manifest {
        val architecture = fields("architecture").architecture()
        val vocabulary = 0 until architecture.vocabSize
        return Manifest(
            formatVersion = int("format_version"),
            name = string("name"),
            createdBy = string("created_by"),
            architecture = architecture,
            graph = fields("graph").graph(),
            recipe = fields("recipe").recipe(),
            tokenizer = stringOrNull("tokenizer"),
            bosTokenId = if (required("bos_token_id") == null) null else int("bos_token_id", vocabulary),
            eosTokenIds = ints("eos_token_ids", vocabulary).toSet(),
            files = fields("files").records(),
            selfTest = if (members["self_test"] == null) null else fields("self_test").selfTest(architecture),
            quality = qualityOf(members["quality"]),
        )
    }

    private fun architecture(): Architecture {
        val architecture =
            Architecture(
                numLayers = size("num_layers", MOST_LAYERS),
                numHeads = size("num_heads", MOST_HEADS),
                headSize = size("head_size", MOST_HEAD_SIZE),
                hiddenSize = size("hidden_size", MOST_HIDDEN),
                vocabSize = size("vocab_size", MOST_TOKENS),
                contextLength = size("context_length", MOST_TOKENS),
            )
        val heads = architecture.numHeads.toLong() * architecture.headSize
        if (architecture.hiddenSize > heads) wrong("hidden_size", "num_heads x head_size is only $heads")
        return architecture
    }

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
                        "graph.cache_dtype ${shown(type)}; this gpt2-edge knows " +
                            known.joinToString { it.jsonName }
                    ),
            minOnnxRuntime =
                string("min_onnxruntime").also {
                    if (!VERSION.matches(it)) wrong("min_onnxruntime", "it must be a version, such as 1.23")
                },
            names = fields("names").names(),
        )
    }

    // The defaults are those of the format (docs/PACKAGE.md).
    private fun names(): GraphNames {
        val names =
            GraphNames(
                inputIds = name("input_ids", "input_ids"),
                attentionMask = name("attention_mask", "attention_mask"),
                positionIds = nameOrNull("position_ids", "position_ids"),
                pastKey = pattern("past_key", "past_key_values.{i}.key"),
                pastValue = pattern("past_value", "past_key_values.{i}.value"),
                logitsToKeep = nameOrNull("logits_to_keep", "logits_to_keep"),
                logits = name("logits", "logits"),
                presentKey = pattern("present_key", "present.{i}.key"),
                presentValue = pattern("present_value", "present.{i}.value"),
            )
        val inputs =
            names.run { listOfNotNull(inputIds, attentionMask, positionIds, logitsToKeep, pastKey, pastValue) }
        val outputs = names.run { listOf(logits, presentKey, presentValue) }
        for (all in listOf(inputs, outputs)) {
            val twice = all.firstOrNull { one -> all.count { it == one } > 1 } ?: continue
            throw FieldException("$where has the name ${shown(twice)} twice")
        }
        return names
    }

    private fun name(name: String, default: String, layers: Int = 0): String {
        if (name !in members) return default
        val found = string(name)
        if (found.isEmpty()) wrong(name)
        if (found.split(LAYER).size != 1 + layers) {
            wrong(name, "$LAYER must stand in it ${if (layers == 1) "once" else "never"}")
        }
        return found
    }

    private fun nameOrNull(name: String, default: String): String? =
        if (name in members && members[name] == null) null else name(name, default)

    private fun pattern(name: String, default: String): String = name(name, default, layers = 1)

    private fun records(): Map<String, FileRecord> =
        members.keys.map { it as String }.associateWith { name ->
            if (!isPlainName(name)) {
                throw FieldException("$where lists ${shown(name)}, which is outside the package or no file's name")
            }
            fields(name).record()
        }

    private fun record(): FileRecord {
        val hash = string("sha256")
        if (hash.length != HASH_DIGITS || hash.any { it !in '0'..'9' && it !in 'a'..'f' }) wrong("sha256")
        return FileRecord(long("bytes").also { if (it < 0) wrong("bytes") }, hash)
    }

    private fun selfTest(architecture: Architecture): SelfTest {
        val vocabulary = 0 until architecture.vocabSize
        val logits = fields("logits")
        val promptIds = ints("prompt_ids", vocabulary)
        val expectedIds = ints("expected_ids", vocabulary)
        val room = architecture.contextLength + 1 - promptIds.size // the last one is not fed
        if (promptIds.isEmpty() || room < 1) wrong("prompt_ids", "it must have 1 to context_length tokens")
        if (expectedIds.size > room) wrong("expected_ids", "the context has room for $room tokens")
        return SelfTest(
            promptIds = promptIds,
            expectedIds = expectedIds,
            logits =
                logits.members.keys.map { it as String }.associate { id ->
                    val token = id.toIntOrNull()
                    if (token == null || token !in vocabulary) {
                        throw FieldException("${logits.where} has ${shown(id)}; it must be a token's id")
                    }
                    token to logits.number(id).toFloat()
                },
            tolerance = number("tolerance").toFloat().also { if (it < 0) wrong("tolerance") },
        )
    }

    private fun required(name: String): Any? {
        if (name !in members) throw FieldException("${of(name)} is missing")
        return members[name]
    }

    private fun fields(name: String) = Fields(required(name) as? Map<*, *> ?: wrong(name), of(name))

    private fun string(name: String): String = required(name) as? String ?: wrong(name)

    private fun stringOrNull(name: String): String? = if (required(name) == null) null else string(name)

    private fun long(name: String): Long = required(name) as? Long ?: wrong(name)

    private fun int(name: String, range: IntRange = Int.MIN_VALUE..Int.MAX_VALUE): Int {
        val value = long(name)
        return if (value in range) value.toInt() else wrong(name, expected(range))
    }

    private fun size(name: String, most: Int = Int.MAX_VALUE): Int = int(name, 1..most)

    private fun number(name: String): Double {
        val value = (required(name) as? Number ?: wrong(name)).toDouble()
        return if (Math.abs(value) <= Float.MAX_VALUE) value else wrong(name)
    }

    private fun ints(name: String, range: IntRange): IntArray {
        val list = required(name) as? List<*> ?: wrong(name)
        return IntArray(list.size) { index ->
            val value = list[index] as? Long
            if (value == null || value !in range) {
                throw FieldException("${of(name)} has ${shown(list[index])}; ${expected(range)}")
            }
            value.toInt()
        }
    }

    private fun expected(range: IntRange) = "it must be a whole number from ${range.first} to ${range.last}"

    private fun wrong(name: String, expected: String? = null): Nothing =
        throw FieldException("${of(name)} is ${shown(members[name])}" + expected?.let { "; $it" }.orEmpty())

    /** Where a member stands: manifest.files['model.onnx'] if its name is no plain word. */
    private fun of(name: String): String {
        val plain = name.length <= 40 && name.all { it in 'a'..'z' || it in '0'..'9' || it in "_." }
        return if (plain) "$where.$name" else "$where[${shown(name)}]"
    }
}

/**
 * Whether [name] is that of a file which lies directly in the package's folder, whatever the system:
 * no path, no control character, and nothing that a file system would spell in another way.
 */
internal fun isPlainName(name: String): Boolean =
    name.isNotEmpty() &&
        name.length <= LONGEST_NAME &&
        name != "." &&
        name != ".." &&
        name.getOrNull(1) != ':' && // a drive
        name.none { it == '/' || it == '\\' || it.isISOControl() } &&
        name == name.withoutLoneSurrogates()

private fun damaged(path: File, what: String) = PackageException("$path $what", Problem.FileDamaged(path))
