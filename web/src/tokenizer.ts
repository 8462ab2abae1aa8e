/** Text to token ids and back, the way back piece by piece. */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";

import { GenerationError, PackageError } from "./errors.js";
import { readTokenizerFile, withoutSpecialTokens, type TokenizerFile } from "./tokenizer-file.js";
import { reason, shown } from "./untrusted.js";

/** `push` returns the text that became certain, never half a character; `finish` the rest. */
export interface DetokenizerStream {
  push(id: number): string;
  finish(): string;
}

/** How a text becomes ids; the defaults are what transformers' tokenizer(text) does. */
export interface EncodeOptions {
  /** Put tokens around the text that the tokenizer's post-processor asks for (default true). */
  addSpecialTokens?: boolean;
  /**
   * Take special tokens that are written out in the text as such (default true). False, for text
   * of strangers: "<|endoftext|>" is then a text as any other.
   */
  parseSpecial?: boolean;
}

/** The tokenizer.json of a package. */
export class Tokenizer {
  readonly #file: TokenizerFile;
  readonly #library: LibraryTokenizer;
  #plain: LibraryTokenizer | undefined; // made once somebody asks for parseSpecial: false
  readonly #added: ReadonlyMap<number, string>;

  /** From the content of tokenizer.json at `url`; PackageError if it cannot be read. */
  constructor(
    content: Uint8Array,
    private readonly url: string,
  ) {
    this.#file = this.#guarded(() => readTokenizerFile(content));
    this.#library = this.#guarded(() => makeLibrary(this.#file));
    this.#added = new Map(this.#file.added.map(({ id, content: text }) => [id, text]));
  }

  /** Token ids of `text`, as transformers' tokenizer gives them. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    // Half a surrogate pair is no text; Python's runtime, too, makes it a question mark.
    const clean = text.replace(/\p{Surrogate}/gu, "?");
    const ids = this.#guarded((): number[] => {
      const library =
        (options.parseSpecial ?? true)
          ? this.#library
          : (this.#plain ??= makeLibrary(withoutSpecialTokens(this.#file)));
      const found = library.encode(clean, { add_special_tokens: false }).ids;
      return (options.addSpecialTokens ?? true) ? this.#file.frame(found) : found;
    });
    if (!ids.every((id) => Number.isSafeInteger(id))) {
      throw new GenerationError(`the tokenizer has no token for a part of ${shown(text)}`);
    }
    return ids;
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
    const special = new Set(this.#file.added.filter((one) => one.special).map(({ id }) => id));
    const stream = this.#file.isByteLevel
      ? new ByteLevelStream(this.#library, special)
      : new LibraryStream(this.#library);
    return {
      push: (id) => this.#guarded(() => stream.push(id)),
      finish: () => this.#guarded(() => stream.finish()),
    };
  }

  /** The library trusts its file, and throws what it stumbles over. */
  #guarded<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new PackageError(
        `${this.url} is no tokenizer that can be read: ${reason(error)}; export the package again`,
        { cause: error },
      );
    }
  }
}

function makeLibrary(file: TokenizerFile): LibraryTokenizer {
  // transformers' clean-up is no part of tokenizer.json, nor of Python's runtime.
  const unknown = file.unknownToken;
  const config = { clean_up_tokenization_spaces: false, ...(unknown && { unk_token: unknown }) };
  return new LibraryTokenizer(file.content, config);
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

function bytesOf(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => BYTES.get(character));
  // An added token may hold characters that stand for no byte; it is taken as it is.
  return bytes.every((byte) => byte !== undefined)
    ? Uint8Array.from(bytes)
    : new TextEncoder().encode(token);
}
