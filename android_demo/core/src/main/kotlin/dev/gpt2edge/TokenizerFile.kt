package dev.gpt2edge

import java.io.File

/**
 * Reads tokenizer.json, the format of Hugging Face tokenizers. Byte-level BPE with GPT-2's pattern is
 * understood; whatever else the file asks for is refused by name rather than left out.
 */
internal class TokenizerFile(private val file: File) {
    private var vocabulary: HashMap<String, Int>? = null
    private var mergesBeforeVocabulary: ArrayList<Pair<String, String>>? = null
    private val merges = ArrayList<LongArray>() // blocks of: left id, right id, merged id
    private var mergeCount = 0
    private val added = ArrayList<AddedToken>()
    private var preTokenizer: Map<*, *>? = null
    private var decoders: List<Any?> = emptyList()
    private var postProcessor: Any? = null
    private val model = HashMap<String, Any?>()

    fun read(sha256: String?): Tokenizer =
        try {
            file.readJson(TOKENIZER_LIMIT, sha256) {
                if (kind() != '{') throw JsonException("it is no object")
                readObject { readMember(this, it) }
                build()
            }
        } catch (error: UnreadableException) {
            throw PackageException(
                "$file is no tokenizer that can be read: ${error.message}",
                Problem.FileDamaged(file),
                error,
            )
        }

    private fun readMember(json: JsonReader, name: String) {
        when (name) {
            "model" -> json.readObject { readModelMember(json, it) }
            "added_tokens" -> json.readArray { added.add(addedToken(json.readValue())) }
            "pre_tokenizer" -> {
                val parts = parts(json.readValue(), "pretokenizers")
                if (parts.size > 1) unsupported("a pre_tokenizer of ${parts.size} parts")
                preTokenizer = parts.firstOrNull() as? Map<*, *>
            }
            "decoder" -> decoders = parts(json.readValue(), "decoders")
            "post_processor" -> postProcessor = json.readValue()
            "normalizer" ->
                parts(json.readValue(), "normalizers").firstOrNull()?.let {
                    unsupported("the normalizer ${kindOf(it)}")
                }
            else -> json.skipValue() // truncation and padding: not applied, as in Python
        }
    }

    private fun readModelMember(json: JsonReader, name: String) {
        when (name) {
            "vocab" -> if (json.kind() == '{') readVocabulary(json) else json.skipValue()
            "merges" -> json.readArray { readMerge(json) }
            else -> model[name] = json.readValue()
        }
    }

    private fun readVocabulary(json: JsonReader) {
        val read = HashMap<String, Int>()
        json.readObject(remembered = false) { token ->
            if (read.put(token, id(json.readValue(), token)) != null) json.twice(token)
        }
        vocabulary = read
        mergesBeforeVocabulary?.forEach { (left, right) -> addMerge(left, right) }
        mergesBeforeVocabulary = null
    }

    /** "left right", as it was first, or ["left", "right"], which allows spaces in tokens. */
    private fun readMerge(json: JsonReader) {
        val pair =
            if (json.kind() == '"') {
                json.readString().split(' ')
            } else {
                ArrayList<String>(2).also { parts -> json.readArray { parts.add(json.readString()) } }
            }
        if (pair.size != 2) throw JsonException("a merge has ${pair.size} parts")
        if (vocabulary != null) {
            addMerge(pair[0], pair[1])
        } else {
            val waiting = mergesBeforeVocabulary ?: ArrayList<Pair<String, String>>()
            waiting.add(pair[0] to pair[1])
            mergesBeforeVocabulary = waiting
        }
    }

    private fun addMerge(left: String, right: String) {
        val within = mergeCount % MERGE_BLOCK
        if (within == 0) merges.add(LongArray(2 * MERGE_BLOCK))
        val block = merges.last()
        block[2 * within] = idOf(left).toLong() shl 32 or idOf(right).toLong()
        block[2 * within + 1] = idOf(left + right).toLong()
        mergeCount++
    }

    private fun idOf(token: String): Int =
        vocabulary?.get(token) ?: throw JsonException("the merge to ${shown(token)} is not in the vocabulary")

    private fun build(): Tokenizer {
        checkModel()
        val vocabulary = vocabulary ?: throw JsonException("it has no model.vocab")
        val preTokenizer = preTokenizer ?: unsupported("no pre_tokenizer")
        if (preTokenizer["type"] != BYTE_LEVEL) unsupported("the pre_tokenizer ${kindOf(preTokenizer)}")
        val decoder = decoders.firstOrNull() as? Map<*, *>
        if (decoder?.get("type") != BYTE_LEVEL) unsupported("the decoder ${kindOf(decoder)}")
        val table = MergeTable(mergeCount)
        for (index in 0 until mergeCount) {
            val block = merges[index / MERGE_BLOCK]
            val pair = block[index % MERGE_BLOCK * 2]
            val merged = block[index % MERGE_BLOCK * 2 + 1]
            table.put((pair ushr 32).toInt(), pair.toInt(), index, merged.toInt())
        }
        return Tokenizer(
            BytePairEncoding(vocabulary, table, unknown(vocabulary), flag(model, "ignore_merges")),
            tokens(vocabulary),
            added.filter { it.content.isNotEmpty() },
            PostProcessor(::unsupported).read(postProcessor),
            decoders.drop(1).mapNotNull { replacement(it) },
            addPrefixSpace = flag(preTokenizer, "add_prefix_space", default = true),
            splitWords = flag(preTokenizer, "use_regex", default = true),
        )
    }

    private fun checkModel() {
        val type = model["type"] ?: if (mergeCount > 0) BPE else null
        if (type != BPE) unsupported("the model ${shown(type)}")
        val dropout = model["dropout"]
        if (dropout is Number && dropout.toDouble() != 0.0) unsupported("dropout")
        for (affix in listOf("continuing_subword_prefix", "end_of_word_suffix")) {
            if ((model[affix] as? String).orEmpty().isNotEmpty()) unsupported(affix)
        }
        if (flag(model, "byte_fallback")) unsupported("byte_fallback")
    }

    private fun unknown(vocabulary: Map<String, Int>): Unknown? {
        val token = model["unk_token"] as? String ?: return null
        val id = vocabulary[token] ?: throw JsonException("unk_token ${shown(token)} is not in the vocabulary")
        return Unknown(id, flag(model, "fuse_unk"))
    }

    private fun tokens(vocabulary: Map<String, Int>): TokenTable {
        val tokens = HashMap<Int, String>(2 * vocabulary.size)
        for ((token, id) in vocabulary) tokens[id] = token
        for (token in added) {
            val known = vocabulary[token.content]
            if (known != null && known != token.id) {
                throw JsonException("${shown(token.content)} has the ids $known and ${token.id}")
            }
            tokens[token.id] = token.content
        }
        return TokenTable(tokens)
    }

    private fun addedToken(value: Any?): AddedToken {
        val token = value as? Map<*, *> ?: throw JsonException("an added token is no object")
        val content = token["content"] as? String ?: throw JsonException("an added token has no content")
        val special = flag(token, "special")
        return AddedToken(
            id = id(token["id"], content),
            content = content,
            special = special,
            lstrip = flag(token, "lstrip"),
            rstrip = flag(token, "rstrip"),
            singleWord = flag(token, "single_word"),
            normalized = flag(token, "normalized", default = !special),
        )
    }

    /** The parts of a sequence, which may be none; or the one part that it is. */
    private fun parts(value: Any?, name: String): List<Any?> {
        val part = value as? Map<*, *> ?: return emptyList()
        if (part["type"] != SEQUENCE) return listOf(part)
        return part[name] as? List<*> ?: throw JsonException("a $SEQUENCE has no $name")
    }

    /** What a decoder behind the bytes does to the text; null for nothing. */
    private fun replacement(decoder: Any?): Replacement? {
        val type = (decoder as? Map<*, *>)?.get("type")
        if (type == "Fuse") return null // which ByteLevel has done
        if (type != "Replace") unsupported("the decoder ${kindOf(decoder)} behind $BYTE_LEVEL")
        val pattern = (decoder["pattern"] as? Map<*, *>)?.get("String") as? String
        val content = decoder["content"] as? String
        if (pattern.isNullOrEmpty() || content == null) unsupported("a decoder that replaces another pattern than a text")
        return Replacement(pattern, content)
    }

    private fun kindOf(part: Any?): String = shown((part as? Map<*, *>)?.get("type") ?: part)

    private fun id(value: Any?, token: String): Int {
        if (value !is Long || value !in 0..MOST_TOKENS) {
            throw JsonException("the id of ${shown(token)} is ${shown(value)}")
        }
        return value.toInt()
    }

    private fun flag(members: Map<*, *>, name: String, default: Boolean = false): Boolean =
        when (val value = members[name]) {
            null -> default
            is Boolean -> value
            else -> throw JsonException("$name is ${shown(value)}")
        }

    private fun unsupported(what: String): Nothing =
        throw PackageException(
            "$file has $what; this application reads GPT-2's kind, byte-level BPE: use the Python " +
                "runtime, or export with --no-tokenizer",
            Problem.OtherTokenizer(file),
        )

    private companion object {
        const val BYTE_LEVEL = "ByteLevel"
        const val BPE = "BPE"
        const val SEQUENCE = "Sequence"
        const val MERGE_BLOCK = 4096
        const val MOST_TOKENS = 10_000_000L
    }
}
