/**
 * How a prompt is cut into steps, so that its logits do not depend on the cut.
 *
 * Kernels take the tokens of a step in small groups, and a remainder or a lone token by other
 * instructions; in quantized graphs the difference in the last bit grows to a rounding step. So a
 * part starts at a multiple of TOKEN_GROUP, and no token is alone behind others or behind a tile:
 * where one would be, tokens before it are fed again, or before the others. spec/prefill.json has
 * examples.
 */

/** Attention's scores take heads x part x context floats, and a caller can stop between parts. */
export const PREFILL_CHUNK = 256;
const TOKEN_GROUP = 16;
const TOKEN_TILE = 128;

/**
 * The next step, from its first token to its end, on the way from `start` to `end` tokens in the
 * cache, with at most `chunk` new ones. A part that begins before `start` feeds tokens again: the
 * cache is trimmed to its beginning first.
 */
export function nextPart(
  start: number,
  end: number,
  chunk = PREFILL_CHUNK,
): [begin: number, end: number] {
  let stop = Math.min(start + chunk, end);
  let begin = start - (start % TOKEN_GROUP);
  if (stop - begin === 1 && start > 0) begin -= TOKEN_GROUP;
  if (stop - begin > 1 && (stop - begin) % TOKEN_TILE === 1) stop -= 1 + TOKEN_GROUP;
  return [begin, stop];
}
