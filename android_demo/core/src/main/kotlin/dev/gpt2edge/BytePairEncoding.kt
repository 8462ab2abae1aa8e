package dev.gpt2edge

import java.util.PriorityQueue

/** What tokenizer.json says of unknown characters. */
internal class Unknown(val id: Int, val fuse: Boolean)

/**
 * Byte-pair encoding of one piece of text (Sennrich et al. 2016): the pair with the lowest rank is
 * merged, the leftmost of equals, until none is left.
 *
 * ignoreMerges: a piece that is a token as it stands is not taken apart.
 */
internal class BytePairEncoding(
    private val vocabulary: Map<String, Int>,
    private val merges: MergeTable,
    private val unknown: Unknown?,
    private val ignoreMerges: Boolean,
) {
    fun encode(piece: String, ids: IntList) {
        if (ignoreMerges) {
            vocabulary[piece]?.let { return ids.add(it) }
        }
        val symbols = symbolsOf(piece)
        if (symbols.size > 1) merge(symbols, ids) else ids.addAll(symbols)
    }

    /** One symbol a character; what the vocabulary lacks is [unknown], or nothing. */
    private fun symbolsOf(piece: String): IntList {
        val symbols = IntList(piece.length)
        var afterUnknown = false
        var index = 0
        while (index < piece.length) {
            val next = index + Character.charCount(piece.codePointAt(index))
            val id = vocabulary[piece.substring(index, next)]
            if (id != null) {
                symbols.add(id)
            } else if (unknown != null && !(unknown.fuse && afterUnknown)) {
                symbols.add(unknown.id)
            }
            afterUnknown = id == null
            index = next
        }
        return symbols
    }

    /** Symbols are a doubly linked list in arrays; a queue holds the pairs that can be merged. */
    private fun merge(symbols: IntList, ids: IntList) {
        val count = symbols.size
        val symbol = symbols.toArray()
        val next = IntArray(count) { it + 1 }
        val previous = IntArray(count) { it - 1 }
        val queue = PriorityQueue<Long>() // rank in the high half, place in the low half

        fun offer(place: Int) {
            if (place < 0 || next[place] >= count) return
            val rank = merges.rank(symbol[place], symbol[next[place]])
            if (rank >= 0) queue.add(rank.toLong() shl 32 or place.toLong())
        }
        for (place in 0 until count - 1) offer(place)
        while (true) {
            val best = queue.poll() ?: break
            val place = best.toInt()
            val after = next[place]
            // A pair that has changed since it was queued was queued anew.
            if (symbol[place] == GONE || after >= count) continue
            if (merges.rank(symbol[place], symbol[after]) != (best ushr 32).toInt()) continue
            symbol[place] = merges.merged(symbol[place], symbol[after])
            symbol[after] = GONE
            next[place] = next[after]
            if (next[place] < count) previous[next[place]] = place
            offer(place)
            offer(previous[place])
        }
        var place = 0
        while (place < count) {
            ids.add(symbol[place])
            place = next[place]
        }
    }

    private companion object {
        const val GONE = -1
    }
}

/** Pairs of ids with their rank and what they merge to, in arrays: no object for each of them. */
internal class MergeTable(capacity: Int) {
    private val slots = Integer.highestOneBit(maxOf(capacity, 8) * 2 - 1) shl 1
    private val keys = LongArray(slots) { EMPTY }
    private val ranks = IntArray(slots)
    private val results = IntArray(slots)

    /** A pair that comes twice keeps its last rank. */
    fun put(left: Int, right: Int, rank: Int, merged: Int) {
        val slot = slot(left, right)
        keys[slot] = key(left, right)
        ranks[slot] = rank
        results[slot] = merged
    }

    /** The rank of a pair, -1 if it does not merge. */
    fun rank(left: Int, right: Int): Int {
        val slot = slot(left, right)
        return if (keys[slot] == EMPTY) -1 else ranks[slot]
    }

    fun merged(left: Int, right: Int): Int = results[slot(left, right)]

    private fun slot(left: Int, right: Int): Int {
        val key = key(left, right)
        var slot = ((key * -0x61c8864680b583ebL) ushr 32).toInt() and (slots - 1)
        while (keys[slot] != EMPTY && keys[slot] != key) slot = (slot + 1) and (slots - 1)
        return slot
    }

    private fun key(left: Int, right: Int): Long = left.toLong() shl 32 or right.toLong()

    private companion object {
        const val EMPTY = -1L
    }
}

/** A growing list of Ints without an object for each. */
internal class IntList(capacity: Int = 16) {
    private var items = IntArray(maxOf(capacity, 4))
    var size = 0
        private set

    fun add(item: Int) {
        if (size == items.size) items = items.copyOf(size * 2)
        items[size++] = item
    }

    fun addAll(other: IntList) {
        for (index in 0 until other.size) add(other.items[index])
    }

    operator fun get(index: Int): Int = items[index]

    fun truncate(length: Int) {
        size = length
    }

    fun toArray(): IntArray = items.copyOf(size)
}
