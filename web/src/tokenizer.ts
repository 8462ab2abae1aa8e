/** Text to token ids and back, the way back piece by piece. */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";

import { firstLine, PackageError } from "./errors.js";

/** `push` returns the text that became certain, never half a character; `finish` the rest. */
export interface DetokenizerStream {
  push(id: number): string;
  finish(): string;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/** The parts of a tokenizer.json that this file looks at. */
interface TokenizerFile {
  readonly added_tokens?: readonly AddedToken[];
  readonly pre_tokenizer?: { type: string; add_prefix_space?: boolean; use_regex?: boolean } | null;
  readonly decoder?: { type: string } | null;
}

/** The tokenizer.json of a package. */
export class Tokenizer {
  readonly #library: LibraryTokenizer;
  readonly #byteLevel: boolean;
  readonly #specialIds: ReadonlySet<number>;
  readonly #added: ReadonlyMap<number, string>;

  /** From the content of tokenizer.json at `url`; PackageError if it cannot be read. */
  constructor(content: Uint8Array, url: string) {
    let file: TokenizerFile;
    try {
      file = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
      this.#library = new LibraryTokenizer(withExactSpaces(file), {});
    } catch (error) {
      throw new PackageError(`${url} is no tokenizer that can be read: ${firstLine(error)}`);
    }
    const added = file.added_tokens ?? [];
    this.#byteLevel = file.decoder?.type === "ByteLevel";
    this.#specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
    this.#added = new Map(added.map((token) => [token.id, token.content]));
  }

  /** Token ids of `text`; special tokens written out in it count as such. */
  encode(text: string): number[] {
    // Half a surrogate pair is no text; Python's runtime, too, makes it a question mark.
    const clean = text.replace(/\p{Surrogate}/gu, "?");
    return this.#library.encode(clean, { add_special_tokens: false }).ids;
  }

  /** Text of `ids` without special tokens; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[]): string {
    const stream = this.stream();
    return ids.map((id) => stream.push(id)).join("") + stream.finish();
  }

  /** One token as text, special tokens by their name: for tables of options. */
  label(id: number): string {
    return this.#added.get(id) ?? this.decode([id]);
  }

  /** A new detokenizer that turns ids into text one at a time. */
  stream(): DetokenizerStream {
    return this.#byteLevel
      ? new ByteLevelStream(this.#library, this.#specialIds)
      : new LibraryStream(this.#library);
  }
}

/** GPT-2's own byte-level BPE: every token is bytes, put together as UTF-8. */
class ByteLevelStream implements DetokenizerStream {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(
    private readonly library: LibraryTokenizer,
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

/** Any other kind of tokenizer: what the library makes of all ids, once it ends in a character. */
class LibraryStream implements DetokenizerStream {
  readonly #ids: number[] = [];
  #emitted = "";

  constructor(private readonly library: LibraryTokenizer) {}

  push(id: number): string {
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

/**
 * The library splits GPT-2's byte-level text by JavaScript's \s, which takes U+FEFF for a space
 * and U+0085 for none; Hugging Face's tokenizers, with which models are trained, do not. Written
 * as a Split of its own, the library translates the same pattern exactly.
 */
function withExactSpaces(file: TokenizerFile): TokenizerFile {
  const first = file.pre_tokenizer;
  if (first?.type !== "ByteLevel" || first.add_prefix_space || first.use_regex === false) {
    return file;
  }
  const pattern = {
    Regex: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  };
  const split = { type: "Split", pattern, behavior: "Isolated", invert: false };
  const sequence = { type: "Sequence", pretokenizers: [split, { ...first, use_regex: false }] };
  return { ...file, pre_tokenizer: sequence };
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

function bytesOf(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => BYTES.get(character));
  // An added token may hold characters that stand for no byte; it is taken as it is.
  return bytes.every((byte) => byte !== undefined)
    ? Uint8Array.from(bytes)
    : new TextEncoder().encode(token);
}
