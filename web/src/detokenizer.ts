/** From token ids to text, one at a time. */

import { overlap } from "./stopping.js";
import type { Replacement, TokenizerFile } from "./tokenizer-file.js";

/** `push` returns the text that became certain, never half a character; `finish` the rest. */
export interface DetokenizerStream {
  push(id: number): string;
  finish(): string;
}

/** What a stream needs of the library's tokenizer. */
export interface Library {
  id_to_token(id: number): string | undefined;
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
}

/** A stream for the tokenizer that `library` made of `file`. */
export function makeStream(library: Library, file: TokenizerFile): DetokenizerStream {
  if (!file.byteLevel) return new LibraryStream(library);
  const special = new Set(file.added.filter((token) => token.special).map(({ id }) => id));
  return file.byteLevel.reduce<DetokenizerStream>(
    (stream, replacement) => new ReplacingStream(stream, replacement),
    new ByteLevelStream(library, special),
  );
}

/** GPT-2's own byte-level BPE: every token is bytes, put together as UTF-8. */
class ByteLevelStream implements DetokenizerStream {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(
    private readonly library: Library,
    private readonly specialIds: ReadonlySet<number>,
  ) {}

  push(id: number): string {
    if (this.specialIds.has(id)) return "";
    // The vocabulary of the model may be padded past the tokenizer's.
    const token = this.library.id_to_token(id);
    return token ? this.#decoder.decode(bytesOf(token), { stream: true }) : "";
  }

  finish(): string {
    return this.#decoder.decode();
  }
}

/** Text in which `from` becomes `to`; an end that may become `from` is held back. */
class ReplacingStream implements DetokenizerStream {
  #held = "";

  constructor(
    private readonly inner: DetokenizerStream,
    private readonly replacement: Replacement,
  ) {}

  push(id: number): string {
    const text = this.#replaced(this.inner.push(id));
    const held = overlap(text, this.replacement.from);
    this.#held = text.slice(text.length - held);
    return text.slice(0, text.length - held);
  }

  finish(): string {
    return this.#replaced(this.inner.finish());
  }

  #replaced(piece: string): string {
    const { from, to } = this.replacement;
    return (this.#held + piece).replaceAll(from, () => to);
  }
}

/** Any other kind of tokenizer: what the library makes of all ids, once it ends in a character. */
class LibraryStream implements DetokenizerStream {
  readonly #ids: number[] = [];
  #emitted = "";

  constructor(private readonly library: Library) {}

  push(id: number): string {
    // The vocabulary of the model may be padded past the tokenizer's.
    if (this.library.id_to_token(id) === undefined) return "";
    this.#ids.push(id);
    const whole = this.#decodeAll();
    return whole.endsWith("\ufffd") ? "" : this.#advance(whole);
  }

  finish(): string {
    return this.#advance(this.#decodeAll());
  }

  #decodeAll(): string {
    return this.#ids.length ? this.library.decode(this.#ids, { skip_special_tokens: true }) : "";
  }

  #advance(whole: string): string {
    if (!whole.startsWith(this.#emitted)) return "";
    const piece = whole.slice(this.#emitted.length);
    this.#emitted = whole;
    return piece;
  }
}

/** GPT-2's table of printable characters that stand for bytes (encoder.py of its release). */
function byteOfCharacter(): Map<string, number> {
  const table = new Map<string, number>();
  let others = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
    table.set(String.fromCharCode(printable ? byte : others++), byte);
  }
  return table;
}

const BYTES = byteOfCharacter();

/** The bytes that a token of byte-level BPE stands for. */
export function bytesOf(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => BYTES.get(character));
  // An added token may hold characters that stand for no byte; it is taken as it is.
  return bytes.every((byte) => byte !== undefined)
    ? Uint8Array.from(bytes)
    : new TextEncoder().encode(token);
}
