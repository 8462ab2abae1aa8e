package dev.gpt2edge

/**
 * The largest of many logits, found in one pass with a heap of the best so far: the vocabulary is
 * never sorted, and nothing is allocated unless more are asked for than before.
 */
internal class Largest {
    /** Ids of the largest, largest first; among equals the lower id comes first. */
    var ids = IntArray(0)
        private set

    /** How many of [ids] count. */
    var size = 0
        private set

    fun find(logits: FloatArray, k: Int) {
        val count = minOf(k, logits.size)
        if (ids.size < count) ids = IntArray(count)
        size = count
        // The worst of the best is at the root, where the next candidate is compared with it.
        for (id in 0 until count) ids[id] = id
        for (place in count / 2 - 1 downTo 0) sink(logits, place, count)
        if (count > 0) {
            var worst = logits[ids[0]]
            for (id in count until logits.size) {
                if (logits[id] > worst) { // an equal one has a higher id than all before it
                    ids[0] = id
                    sink(logits, 0, count)
                    worst = logits[ids[0]]
                }
            }
        }
        // Heapsort: the worst goes to the end, one by one.
        for (end in count - 1 downTo 1) {
            val worst = ids[0]
            ids[0] = ids[end]
            ids[end] = worst
            sink(logits, 0, end)
        }
    }

    private fun sink(logits: FloatArray, from: Int, count: Int) {
        val id = ids[from]
        var place = from
        while (true) {
            var child = 2 * place + 1
            if (child >= count) break
            if (child + 1 < count && worse(logits, ids[child + 1], ids[child])) child++
            if (!worse(logits, ids[child], id)) break
            ids[place] = ids[child]
            place = child
        }
        ids[place] = id
    }

    private fun worse(logits: FloatArray, a: Int, b: Int): Boolean =
        logits[a] < logits[b] || logits[a] == logits[b] && a > b
}
