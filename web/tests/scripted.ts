/** The scripted model of spec/decoding.json, and byte-level text of given tokens. */

import assert from "node:assert/strict";

import type { Sequence } from "../src/decode.js";
import { makeStream, type DetokenizerStream } from "../src/detokenizer.js";
import type { TokenizerFile } from "../src/tokenizer-file.js";

/** Logits [vocab] behind the tokens of `window`. */
export function logitsAfter(window: readonly number[], vocab: number): Float32Array {
  const state = window.reduce((sum, token, place) => sum + (place + 1) * (token + 1), 0);
  return Float32Array.from(
    { length: vocab },
    (_, t) => ((state * (2 * t + 3) + 5 * t * t) % 19) / 4,
  );
}

/** Reads prompts in parts of three tokens; every rule that real sequences have is asserted. */
export class ScriptedSequence implements Sequence {
  readonly ids: number[] = [];
  disposed = false;

  constructor(
    readonly capacity: number,
    private readonly vocab: number,
  ) {}

  async feed(ids: readonly number[]): Promise<Float32Array> {
    assert.ok(!this.disposed);
    assert.ok(ids.length > 0 && ids.length <= this.capacity - this.ids.length, `${ids.length}`);
    this.ids.push(...ids);
    return logitsAfter(this.ids, this.vocab);
  }

  async read(ids: readonly number[]): Promise<{ count: number; logits: Float32Array | null }> {
    const count = Math.min(3, ids.length);
    const logits = await this.feed(ids.slice(0, count));
    return { count, logits: count === ids.length ? logits : null };
  }

  async trim(length: number): Promise<void> {
    assert.ok(length <= this.ids.length);
    this.ids.length = length;
  }

  dispose(): void {
    this.disposed = true;
  }
}

/** A stream to text of the tokens of `vocabulary`, as a tokenizer.json writes them. */
export function byteLevelStream(
  vocabulary: readonly string[],
  special: readonly number[],
): DetokenizerStream {
  const library = {
    id_to_token: (id: number) => vocabulary[id],
    decode: () => assert.fail("byte-level text is put together here"),
  };
  const added = special.map((id) => ({ id, content: vocabulary[id]!, special: true }));
  return makeStream(library, { added, byteLevel: [] } as unknown as TokenizerFile);
}
