/** Which part of a text each of its tokens stands for. */

/** From the first to behind the last of its UTF-16 code units. */
export type Range = readonly [start: number, end: number];

const SPACE = 0x20;

/** The bytes of a token. */
export interface Piece {
  readonly bytes: Uint8Array;
  /** Whether it may have been put around the text, and be no part of it. */
  readonly special: boolean;
}

/**
 * The ranges of tokens in `text`, in whose UTF-8 their `pieces` lie one behind the other. Tokens
 * inside one character share its range. Null where the pieces are not the text.
 */
export function rangesOf(text: string, pieces: readonly Piece[]): Range[] | null {
  const whole = new TextEncoder().encode(text);
  const starts = characterStarts(text, whole.length);
  const ranges: Range[] = [];
  let at = 0;
  for (const { bytes, special } of pieces) {
    // Some tokenizers put a blank before the text.
    const blank = at === 0 && bytes[0] === SPACE && whole[0] !== SPACE;
    const piece = blank ? bytes.subarray(1) : bytes;
    const fits = piece.every((byte, offset) => whole[at + offset] === byte);
    if (!fits && !special) return null;
    const end = fits ? at + piece.length : at;
    ranges.push([starts[at]!, end === at ? starts[at]! : endOf(starts, end, text.length)]);
    at = end;
  }
  return at === whole.length ? ranges : null;
}

/** For each byte of UTF-8 where the character that it is in begins in UTF-16; and the text's end. */
function characterStarts(text: string, size: number): Uint32Array {
  const starts = new Uint32Array(size + 1);
  let byte = 0;
  let unit = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    starts.fill(unit, byte, byte + length);
    byte += length;
    unit += character.length;
  }
  starts[size] = text.length;
  return starts;
}

/** Where the character ends that the byte before `end` is in. */
function endOf(starts: Uint32Array, end: number, length: number): number {
  const last = starts[end - 1]!;
  for (let at = end; at < starts.length; at++) if (starts[at]! > last) return starts[at]!;
  return length;
}

/**
 * The same for any tokenizer, from the `labels` of the tokens: each is looked for behind the one
 * before it, and one that is not found stands for nothing there.
 */
export function searchedRanges(text: string, labels: readonly string[]): Range[] {
  let at = 0;
  return labels.map((label) => {
    const word = label.trim();
    const found = word === "" ? -1 : text.indexOf(word, at);
    const reach = at + 2 * word.length + 8; // a word further on is another one
    if (found < 0 || found > reach) return [at, at];
    const start = at; // blanks before a word are its token's
    at = found + word.length;
    return [text.slice(start, found).trim() === "" ? start : found, at];
  });
}
