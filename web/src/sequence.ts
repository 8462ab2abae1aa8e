/** One sequence being fed through a session, and several that go on from it together. */

import type { Tensor } from "onnxruntime-web";

import type { Cache } from "./cache.js";
import type { Rows, Sequence } from "./decode.js";
import { ContextOverflowError, PackageError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { nextTask } from "./next-task.js";
import { nextPart } from "./prefill.js";
import { shown } from "./untrusted.js";

/** What a sequence needs of its session. */
interface Runner {
  readonly manifest: Manifest;
  readonly stepLimit: number;
  readonly batches: boolean;
  runStep(
    cache: Cache,
    rows: readonly (readonly number[])[],
    positions: readonly number[],
    total: number,
    keep: number,
    wanted: readonly string[],
  ): Promise<Record<string, Tensor>>;
}

/** The tokens of one sequence and their cache. */
export class TokenSequence implements Sequence {
  readonly ids: number[] = [];

  constructor(
    private readonly session: Runner,
    readonly capacity: number,
    private readonly cache: Cache,
  ) {}

  /** Tokens in the cache. */
  get length(): number {
    return this.ids.length;
  }

  /**
   * Feed `ids`, in one step where the session has no limit, from `position` on; logits [vocab]
   * after the last of them.
   * ContextOverflowError if they do not fit the cache; nothing is fed then.
   */
  async feed(ids: readonly number[], position = this.length): Promise<Float32Array> {
    const { stepLimit } = this.session;
    this.#requireRoom(ids.length);
    let start = 0;
    for (; ids.length - start > stepLimit; start += stepLimit) {
      await this.#step(ids.slice(start, start + stepLimit), position + start, 1);
    }
    return this.#step(ids.slice(start), position + start, 1);
  }

  /**
   * Feed `ids`, no more than the session's stepLimit, in one step; logits [keep, vocab] after the
   * last `keep` of them. Errors as of `feed`.
   */
  async feedKeeping(ids: readonly number[], keep: number): Promise<Float32Array> {
    this.#requireRoom(ids.length);
    return this.#step(ids, this.length, keep);
  }

  #requireRoom(count: number): void {
    if (count === 0 || count > this.capacity - this.length) {
      throw new ContextOverflowError(
        `${count} more tokens do not fit behind ${this.length} in a cache of ${this.capacity}`,
      );
    }
  }

  /** Feed `ids` in one step; the outputs `names` of it, which the caller disposes. */
  async feedFor(ids: readonly number[], names: readonly string[]): Promise<Record<string, Tensor>> {
    this.#requireRoom(ids.length);
    return this.#run(ids, this.length, 1, names);
  }

  async #step(ids: readonly number[], position: number, keep: number): Promise<Float32Array> {
    const { graph, architecture } = this.session.manifest;
    const outputs = await this.#run(ids, position, keep, [graph.names.logits]);
    // A graph without logits_to_keep returns the logits of every position.
    const { data, dims } = outputs[graph.names.logits]!;
    const { vocabSize } = architecture;
    if (dims.at(-1) !== vocabSize || data.length < keep * vocabSize) {
      throw new PackageError(
        `the graph returned logits of ${shown(dims)}, the manifest has a vocabulary of ` +
          `${vocabSize}; export the package again`,
      );
    }
    return (data as Float32Array).subarray(data.length - keep * vocabSize);
  }

  /** One run: the cache then holds `ids` too. */
  async #run(
    ids: readonly number[],
    position: number,
    keep: number,
    wanted: readonly string[],
  ): Promise<Record<string, Tensor>> {
    const positions = ids.map((_, index) => position + index);
    const { cache, session } = this;
    const total = this.length + ids.length;
    const outputs = await session.runStep(cache, [ids], positions, total, keep, wanted);
    this.ids.push(...ids);
    this.cache.advance(outputs, this.length);
    return outputs;
  }

  /** See Sequence; nextPart says what a part is. */
  async read(ids: readonly number[]): Promise<{ count: number; logits: Float32Array | null }> {
    const [begin, end] = nextPart(this.length, this.length + ids.length);
    const count = end - this.length;
    const part = [...this.ids.slice(begin), ...ids.slice(0, count)];
    await this.trim(begin);
    const logits = await this.feed(part);
    return { count, logits: count === ids.length ? logits : null };
  }

  /** Feed a prompt in parts; logits [vocab] after its last token. Throws `signal`'s reason. */
  async prefill(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array> {
    for (let left = ids; ;) {
      await nextTask();
      signal?.throwIfAborted();
      const { count, logits } = await this.read(left);
      if (logits) return logits;
      left = left.slice(count);
    }
  }

  /** Forget all tokens from number `length` on. */
  async trim(length: number): Promise<void> {
    if (length >= this.length) return;
    await this.cache.trim(length);
    this.ids.length = length;
  }

  /** See Sequence. */
  get fork(): ((count: number) => Promise<TokenRows>) | undefined {
    const { session, cache } = this;
    if (!cache.copied || !session.batches) return undefined;
    return async (count) => new TokenRows(session, await cache.copied!(count), count, this.length);
  }

  dispose(): void {
    this.cache.dispose();
  }
}

/** Rows of one length that take each step together. */
export class TokenRows implements Rows {
  constructor(
    private readonly session: Runner,
    private readonly cache: Cache,
    private readonly count: number,
    private length: number,
  ) {}

  async step(tokens: readonly number[]): Promise<Float32Array[]> {
    const { graph, architecture } = this.session.manifest;
    const { vocabSize } = architecture;
    const rows = tokens.map((token) => [token]);
    const name = graph.names.logits;
    const total = this.length + 1;
    const found = await this.session.runStep(this.cache, rows, [this.length], total, 1, [name]);
    this.length = total;
    this.cache.advance(found, total);
    const { data, dims } = found[name]!;
    if (data.length !== this.count * vocabSize) {
      throw new PackageError(
        `the graph returned logits of ${shown(dims)} for ${this.count} texts, not ` +
          `[${this.count}, 1, ${vocabSize}]; export the package again`,
      );
    }
    return rows.map((_, row) =>
      (data as Float32Array).subarray(row * vocabSize, (row + 1) * vocabSize),
    );
  }

  dispose(): void {
    this.cache.dispose();
  }
}
