/** Text to token ids and back, the way back piece by piece. */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";

import { bytesOf, makeStream, type DetokenizerStream } from "./detokenizer.js";
import { GenerationError, PackageError } from "./errors.js";
import { readTokenizerFile, withoutSpecialTokens, type TokenizerFile } from "./tokenizer-file.js";
import { rangesOf, searchedRanges, type Piece, type Range } from "./token-ranges.js";
import { reason, shown } from "./untrusted.js";

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
    const clean = withoutHalves(text);
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

  /** Which part of `text` each of `ids`, its tokens, stands for, in UTF-16 code units. */
  ranges(text: string, ids: readonly number[]): Range[] {
    const clean = withoutHalves(text);
    const labels = (): string[] => ids.map((id) => this.label(id));
    const found =
      this.#file.byteLevel &&
      rangesOf(
        clean,
        ids.map((id) => this.#piece(id)),
      );
    return found ?? searchedRanges(clean, labels());
  }

  #piece(id: number): Piece {
    const added = this.#added.get(id);
    if (added !== undefined) return { bytes: new TextEncoder().encode(added), special: true };
    return { bytes: bytesOf(this.#library.id_to_token(id) ?? ""), special: false };
  }

  /** A new detokenizer that turns ids into text one at a time. */
  stream(): DetokenizerStream {
    const stream = makeStream(this.#library, this.#file);
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

/** Half a surrogate pair is no text; Python's runtime, too, makes it a question mark. */
function withoutHalves(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "?");
}

function makeLibrary(file: TokenizerFile): LibraryTokenizer {
  // transformers' clean-up is no part of tokenizer.json, nor of Python's runtime.
  const unknown = file.unknownToken;
  const config = { clean_up_tokenization_spaces: false, ...(unknown && { unk_token: unknown }) };
  return new LibraryTokenizer(file.content, config);
}
