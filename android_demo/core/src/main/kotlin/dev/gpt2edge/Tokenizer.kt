package dev.gpt2edge

import java.io.File

/** GPT-2's byte-level BPE, as the tokenizer.json of a package describes it. */
class Tokenizer
internal constructor(
    private val encoding: BytePairEncoding,
    private val tokens: TokenTable,
    added: List<AddedToken>,
    private val around: SpecialTokens,
    private val replacements: List<Replacement>,
    private val addPrefixSpace: Boolean,
    private val splitWords: Boolean,
) {
    private val addedTokens = AddedTokens(added)
    private val addedContents = added.associate { it.id to it.content }
    private val specialIds = added.filter { it.special }.map { it.id }.toSet()

    /**
     * Token ids of [text], those that transformers' tokenizer(text) gives.
     *
     * addSpecialTokens: with the tokens that the tokenizer puts around a text (a beginning of text),
     * if it has such a template. parseSpecial: whether special tokens written out in the text count
     * as such; false for text of strangers.
     */
    fun encode(text: String, addSpecialTokens: Boolean = true, parseSpecial: Boolean = true): IntArray {
        val ids = IntList(text.length / 3)
        if (addSpecialTokens) around.before.forEach(ids::add)
        addedTokens.split(text.withoutLoneSurrogates(), parseSpecial, { encodePlain(it, ids) }, ids::add)
        if (addSpecialTokens) around.after.forEach(ids::add)
        return ids.toArray()
    }

    /** Text of [ids] without special tokens; bytes that are no UTF-8 become U+FFFD. */
    fun decode(ids: IntArray): String {
        val stream = detokenizer()
        val text = StringBuilder()
        for (id in ids) text.append(stream.push(id))
        return text.append(stream.finish()).toString()
    }

    /** One token as text, special tokens by their name: for lists of options. */
    fun label(id: Int): String = addedContents[id] ?: decode(intArrayOf(id))

    /** A new detokenizer, for one stream of ids. */
    fun detokenizer() = Detokenizer(replacements, ::bytesOf)

    /** Null for special tokens, and for ids that it does not know. */
    private fun bytesOf(id: Int): ByteArray? =
        if (id in specialIds) null else tokens[id]?.let { ByteLevel.bytesOf(it) }

    private fun encodePlain(part: String, ids: IntList) {
        val text = if (addPrefixSpace && !part.startsWith(' ')) " $part" else part
        if (!splitWords) return encoding.encode(ByteLevel.standIns(text, 0, text.length), ids)
        PreTokenizer.split(text) { from, to -> encoding.encode(ByteLevel.standIns(text, from, to), ids) }
    }

    companion object {
        /** Reads [file]; PackageException if it is no tokenizer, or one of another kind. */
        fun read(file: File): Tokenizer = read(file, sha256 = null)

        /** [sha256]: what the bytes that are read must have. */
        internal fun read(file: File, sha256: String?): Tokenizer = TokenizerFile(file).read(sha256)
    }
}

/** Ids that a tokenizer puts around every text. */
internal class SpecialTokens(val before: List<Int>, val after: List<Int>)

/** Tokens by id; an id far above the others, which any file may have, takes no more room than they. */
internal class TokenTable(tokens: Map<Int, String>) {
    private val first = arrayOfNulls<String>(minOf((tokens.keys.maxOrNull() ?: -1) + 1, 2 * tokens.size))
    private val others = HashMap<Int, String>()

    init {
        for ((id, token) in tokens) if (id < first.size) first[id] = token else others[id] = token
    }

    operator fun get(id: Int): String? = if (id in first.indices) first[id] else others[id]
}
