package dev.gpt2edge

/*
 * How a prompt is cut into runs of the graph, so that its logits do not depend on the cut, as
 * runtime/gpt2_edge/graph/prefill.py has it; spec/prefill.json has examples.
 *
 * ONNX Runtime's kernels take the tokens of a run in small groups, and a remainder or a lone token by
 * other instructions; in quantized graphs the difference in the last bit grows to a rounding step. So
 * a part starts at a multiple of TOKEN_GROUP, and no token is alone behind others or behind a tile:
 * where one would be, tokens before it are fed again, or before the others.
 */

// Attention's scores take heads x chunk x context floats, and a caller can stop between two parts.
internal const val PREFILL_CHUNK = 256

internal const val TOKEN_GROUP = 16
private const val TOKEN_TILE = 128

/** The most tokens that a part of [chunk] new ones feeds. */
internal fun longestPart(chunk: Int) = chunk + 2 * TOKEN_GROUP

/** One run of the graph: tokens number [begin] to [end], which is not in it. */
internal data class Part(val begin: Int, val end: Int)

/**
 * The next run on the way from [start] to [end] tokens in the cache, with at most [chunk] new ones. One
 * that begins before [start] feeds tokens again: the cache is trimmed to its beginning first.
 */
internal fun nextPart(start: Int, end: Int, chunk: Int = PREFILL_CHUNK): Part {
    require(chunk >= 1) { "chunk is $chunk; it must be at least 1" }
    var stop = minOf(start + chunk, end)
    var begin = start - start % TOKEN_GROUP
    if (stop - begin == 1 && start > 0) begin -= TOKEN_GROUP
    if (stop - begin > 1 && (stop - begin) % TOKEN_TILE == 1) stop -= 1 + TOKEN_GROUP
    return Part(begin, stop)
}
