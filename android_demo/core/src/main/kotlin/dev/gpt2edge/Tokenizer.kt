package dev.gpt2edge

import java.io.File

/** GPT-2's byte-level BPE, as the tokenizer.json of a package describes it. */
class Tokenizer
internal constructor(
    private val encoding: BytePairEncoding,
    private val tokens: Array<String?>,
    added: List<AddedToken>,
    private val addPrefixSpace: Boolean,
    private val splitWords: Boolean,
) {
    private val addedTokens = AddedTokens(added)
    private val addedContents = added.associate { it.id to it.content }
    private val specialIds = added.filter { it.special }.map { it.id }.toSet()

    /** Token ids of [text]; special tokens written out in it count as such. */
    fun encode(text: String): IntArray {
        val ids = IntList(text.length / 3)
        addedTokens.split(text.withoutLoneSurrogates(), { encodePlain(it, ids) }, ids::add)
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
    fun detokenizer() = Detokenizer(this)

    internal fun isSpecial(id: Int): Boolean = id in specialIds

    internal fun token(id: Int): String? = tokens.getOrNull(id)

    private fun encodePlain(part: String, ids: IntList) {
        val text = if (addPrefixSpace && !part.startsWith(' ')) " $part" else part
        if (!splitWords) return encoding.encode(ByteLevel.standIns(text, 0, text.length), ids)
        PreTokenizer.split(text) { from, to -> encoding.encode(ByteLevel.standIns(text, from, to), ids) }
    }

    companion object {
        /** Reads [file]; PackageException if it is no tokenizer, or one of another kind. */
        fun read(file: File): Tokenizer = TokenizerFile(file).read()
    }
}
