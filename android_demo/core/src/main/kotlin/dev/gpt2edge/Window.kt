package dev.gpt2edge

/*
 * Going on past the context: which tokens a window forgets, as runtime/gpt2_edge/decode/window.py has
 * it. GPT-2's positions are absolute, so what moves has to be fed again; the tokens that are kept at
 * the beginning do not move and stay in the cache.
 */

/** A full window without the older half of what is behind its first [keep] tokens; one goes at least. */
internal fun slid(ids: IntArray, keep: Int): IntArray {
    val first = minOf(keep, ids.size - 1)
    return ids.copyOf(first) + ids.copyOfRange(first + (ids.size - first + 1) / 2, ids.size)
}

/** The first [keep] tokens of a prompt and as many of its last as [capacity] has room for. */
internal fun fitted(ids: IntArray, capacity: Int, keep: Int): IntArray {
    if (ids.size <= capacity) return ids
    val first = minOf(keep, capacity - 1)
    return ids.copyOf(first) + ids.copyOfRange(ids.size - (capacity - first), ids.size)
}

/** How many tokens two sequences have in common at their beginning. */
internal fun commonPrefix(one: IntArray, other: IntArray): Int {
    var count = 0
    while (count < minOf(one.size, other.size) && one[count] == other[count]) count++
    return count
}
