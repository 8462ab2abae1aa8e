package dev.gpt2edge

private const val GOLDEN = -0x61c8864680b583ebL // 0x9E3779B97F4A7C15

/** Steele, Lea and Flood's generator (OOPSLA 2014): one 64-bit word of state. */
internal class SplitMix64(private var state: Long) {
    /** The next 64 random bits. */
    fun next(): Long {
        state += GOLDEN
        return mixed(state)
    }
}

/**
 * Uniform number [number] (from 0) of the generator that [seed] starts: in [0, 1), the top 53 bits over
 * 2^53. The state is a counter, so every draw is at hand without those before it.
 */
internal fun draw(seed: Long, number: Int): Double =
    (mixed(seed + (number + 1L) * GOLDEN) ushr 11).toDouble() / (1L shl 53).toDouble()

private fun mixed(state: Long): Long {
    var z = state
    z = (z xor (z ushr 30)) * -0x40a7b892e31b1a47L // 0xBF58476D1CE4E5B9
    z = (z xor (z ushr 27)) * -0x6b2fb644ecceee15L // 0x94D049BB133111EB
    return z xor (z ushr 31)
}
