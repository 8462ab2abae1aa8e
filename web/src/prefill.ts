/** How a prompt is cut into steps. */

/** Attention's scores take heads x part x context floats, and a caller can stop between parts. */
export const PREFILL_CHUNK = 256;
/** Kernels take rows in small groups, of which this is a multiple. */
export const ROW_GROUP = 16;
/** And in tiles, of which a row that is left alone is computed by other instructions. */
export const ROW_TILE = 128;

/**
 * Sizes of the steps in which a prompt of `length` tokens is fed. As in Python's
 * TokenSequence.prefill, every step starts at a multiple of ROW_GROUP, and none leaves a row alone
 * behind a tile or behind the steps before.
 */
export function prefillParts(length: number, chunk = PREFILL_CHUNK): number[] {
  const parts: number[] = [];
  for (let start = 0; start < length;) {
    let size = Math.min(chunk, length - start);
    // The last token of the prompt must not come alone: leave it a group to come with.
    if (length - start - size === 1) size -= ROW_GROUP;
    if (size > 1 && size % ROW_TILE === 1) size -= 1 + ROW_GROUP;
    parts.push(size);
    start += size;
  }
  return parts;
}
