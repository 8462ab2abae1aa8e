package dev.gpt2edge

import java.io.File
import java.io.IOException

/**
 * Reads tokenizer.json, the format of Hugging Face tokenizers. Byte-level BPE with GPT-2's pattern is
 * understood; whatever else the file asks for is refused by name rather than left out.
 */
internal class TokenizerFile(private val file: File) {
    private var vocabulary: HashMap<String, Int>? = null
    private var mergesBeforeVocabulary: ArrayList<Pair<String, String>>? = null
    private val merges = ArrayList<LongArray>() // blocks of: left id, right id, merged id
    private var mergeCount = 0
    private var added: List<AddedToken> = emptyList()
    private var preTokenizer: Map<*, *>? = null
    private var decoder: Map<*, *>? = null
    private val model = HashMap<String, Any?>()

    fun read(): Tokenizer =
        try {
            file.strictUtf8Reader().use { reader ->
                JsonReader(reader).run {
                    if (kind() != '{') throw JsonException("it is no object")
                    readObject { readMember(this, it) }
                    finish()
                }
            }
            build()
        } catch (error: JsonException) {
            throw unreadable(error)
        } catch (error: IOException) {
            throw unreadable(error)
        }

    private fun unreadable(error: Exception) =
        PackageException("$file is no tokenizer that can be read: ${error.firstLine()}", error)

    private fun readMember(json: JsonReader, name: String) {
        when (name) {
            "model" -> json.readObject { readModelMember(json, it) }
            "added_tokens" -> added = addedTokens(json.readValue())
            "pre_tokenizer" -> preTokenizer = onlyOne(json.readValue(), "pretokenizers")
            "decoder" -> decoder = onlyOne(json.readValue(), "decoders")
            "normalizer" -> {
                val normalizer = json.readValue() as? Map<*, *>
                if (normalizer != null && !isEmptySequence(normalizer)) {
                    unsupported("the normalizer ${normalizer["type"]}")
                }
            }
            else -> json.skipValue() // truncation, padding, post_processor: not applied, as in Python
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
        json.readObject { token ->
            val id = json.readValue() as? Long
            if (id == null || id !in 0..MOST_TOKENS) throw JsonException("the id of '$token' is $id")
            read[token] = id.toInt()
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
        if (pair.size != 2) throw JsonException("the merge $pair is no pair")
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
        vocabulary?.get(token) ?: throw JsonException("the merge to '$token' is not in the vocabulary")

    private fun build(): Tokenizer {
        checkModel()
        val vocabulary = vocabulary ?: throw JsonException("it has no model.vocab")
        val preTokenizer = preTokenizer ?: unsupported("no pre_tokenizer")
        if (preTokenizer["type"] != BYTE_LEVEL) unsupported("the pre_tokenizer ${preTokenizer["type"]}")
        val decoderType = decoder?.get("type")
        if (decoderType != BYTE_LEVEL) unsupported("the decoder $decoderType")
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
            addPrefixSpace = flag(preTokenizer, "add_prefix_space", default = true),
            splitWords = flag(preTokenizer, "use_regex", default = true),
        )
    }

    private fun checkModel() {
        val type = model["type"] ?: if (mergeCount > 0) BPE else null
        if (type != BPE) unsupported("the model $type")
        val dropout = model["dropout"]
        if (dropout is Number && dropout.toDouble() != 0.0) unsupported("dropout")
        for (affix in listOf("continuing_subword_prefix", "end_of_word_suffix")) {
            if ((model[affix] as? String).orEmpty().isNotEmpty()) unsupported(affix)
        }
        if (flag(model, "byte_fallback")) unsupported("byte_fallback")
    }

    private fun unknown(vocabulary: Map<String, Int>): Unknown? {
        val token = model["unk_token"] as? String ?: return null
        val id = vocabulary[token] ?: throw JsonException("unk_token '$token' is not in the vocabulary")
        return Unknown(id, flag(model, "fuse_unk"))
    }

    private fun tokens(vocabulary: Map<String, Int>): Array<String?> {
        val highest = maxOf(vocabulary.values.maxOrNull() ?: -1, added.maxOfOrNull { it.id } ?: -1)
        val tokens = arrayOfNulls<String>(highest + 1)
        for ((token, id) in vocabulary) tokens[id] = token
        for (token in added) {
            val known = vocabulary[token.content]
            if (known != null && known != token.id) {
                throw JsonException("'${token.content}' has the ids $known and ${token.id}")
            }
            tokens[token.id] = token.content
        }
        return tokens
    }

    private fun addedTokens(value: Any?): List<AddedToken> {
        val list = value as? List<*> ?: throw JsonException("added_tokens is no array")
        return list.map { item ->
            val token = item as? Map<*, *> ?: throw JsonException("an added token is no object")
            val content = token["content"] as? String ?: throw JsonException("an added token has no content")
            val id = token["id"] as? Long
            if (id == null || id !in 0..MOST_TOKENS) throw JsonException("the id of '$content' is $id")
            val special = flag(token, "special")
            AddedToken(
                id = id.toInt(),
                content = content,
                special = special,
                lstrip = flag(token, "lstrip"),
                rstrip = flag(token, "rstrip"),
                singleWord = flag(token, "single_word"),
                normalized = flag(token, "normalized", default = !special),
            )
        }
    }

    /** The one part of a sequence of one; sequences of more are refused by their type. */
    private fun onlyOne(value: Any?, parts: String): Map<*, *>? {
        val part = value as? Map<*, *> ?: return null
        if (part["type"] != SEQUENCE) return part
        val list = part[parts] as? List<*>
        return if (list?.size == 1) list[0] as? Map<*, *> else part
    }

    private fun isEmptySequence(part: Map<*, *>): Boolean =
        part["type"] == SEQUENCE && (part["normalizers"] as? List<*>)?.isEmpty() == true

    private fun flag(members: Map<*, *>, name: String, default: Boolean = false): Boolean =
        when (val value = members[name]) {
            null -> default
            is Boolean -> value
            else -> throw JsonException("$name is $value")
        }

    private fun unsupported(what: String): Nothing =
        throw PackageException(
            "$file has $what; this application reads GPT-2's kind, byte-level BPE: use the Python " +
                "runtime, or export with --no-tokenizer"
        )

    private companion object {
        const val BYTE_LEVEL = "ByteLevel"
        const val BPE = "BPE"
        const val SEQUENCE = "Sequence"
        const val MERGE_BLOCK = 4096
        const val MOST_TOKENS = 10_000_000L
    }
}
