/** The cache of one text: of the next prompt, only what it does not hold is read. */

import { commonPrefix, type Begin, type Sequence } from "./decode.js";
import { GenerationError } from "./errors.js";
import { nextTask } from "./next-task.js";
import type { TokenSequence } from "./sequence.js";
import type { Session } from "./session.js";

/**
 * Made by `Generator.newCache`, for `nextTokens` and generations: a prompt that goes on where the
 * last one ended costs its new tokens only. What shares it runs one after another; a second use
 * while a text is written is a GenerationError.
 */
export class PromptCache {
  #sequence: TokenSequence | null = null;
  /** The prompt that was asked last, and its logits. */
  #last: { readonly ids: readonly number[]; readonly logits: Float32Array } | null = null;
  #busy = false;
  #disposed = false;

  constructor(readonly session: Session) {}

  /** It, if it is one of `session`; else GenerationError. */
  of(session: Session): this {
    if (session === this.session) return this;
    throw new GenerationError("the cache is of another package; make one with newCache()");
  }

  /** The tokens that it holds. */
  get ids(): readonly number[] {
    return this.#sequence?.ids ?? [];
  }

  /**
   * Logits [vocab] after the tokens `ids`, of which only what is new is read; a lone new one is a
   * step, as where a text is written, and nothing is computed for the prompt of the call before.
   * Throws the reason of `signal` once it is aborted.
   */
  async logitsAfter(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array> {
    const { sequence, logits } = await this.begin(ids);
    try {
      if (logits) return logits;
      let left = ids.slice(sequence.ids.length);
      for (;;) {
        await nextTask();
        signal?.throwIfAborted();
        const step =
          left.length === 1
            ? { count: 1, logits: await sequence.feed(left) }
            : await sequence.read(left);
        if (step.logits) return this.#remember(ids, step.logits);
        left = left.slice(step.count);
      }
    } finally {
      sequence.dispose();
    }
  }

  /**
   * The cache as the sequence of a text behind `prompt`, of which it holds the beginning; disposing
   * the sequence gives it back. See Begin.
   */
  begin = async (prompt: readonly number[]): ReturnType<Begin> => {
    if (this.#disposed) throw new GenerationError("the cache was disposed; make a new one");
    if (this.#busy) {
      throw new GenerationError(
        "the cache is in use by another call; wait for it, or make another",
      );
    }
    this.#busy = true;
    try {
      const { contextLength } = this.session.manifest.architecture;
      this.#sequence ??= await this.session.start(contextLength);
      const sequence = this.#sequence;
      const alike = commonPrefix(sequence.ids, prompt);
      const known = this.#last && isSame(this.#last.ids, prompt) && alike === prompt.length;
      await sequence.trim(known ? alike : Math.min(alike, prompt.length - 1));
      return {
        sequence: this.#lent(sequence, prompt),
        logits: known ? this.#last!.logits : null,
      };
    } catch (error) {
      this.#forget();
      throw error;
    }
  };

  /** Free its memory. */
  dispose(): void {
    this.#disposed = true;
    if (!this.#busy) this.#forget();
  }

  #lent(sequence: TokenSequence, prompt: readonly number[]): Sequence {
    // What a run that failed left in the tensors is not known.
    const guarded = async <T>(work: Promise<T>): Promise<T> => {
      try {
        return await work;
      } catch (error) {
        this.#sequence = null;
        sequence.dispose();
        throw error;
      }
    };
    return {
      ids: sequence.ids,
      capacity: sequence.capacity,
      feed: (ids) => guarded(sequence.feed(ids)),
      trim: (length) => guarded(sequence.trim(length)),
      fork: sequence.fork && ((count) => sequence.fork!(count)),
      read: async (ids) => {
        const step = await guarded(sequence.read(ids));
        if (step.logits && isSame(sequence.ids, prompt)) this.#remember(prompt, step.logits);
        return step;
      },
      dispose: () => {
        this.#busy = false;
        if (this.#disposed) this.#forget();
      },
    };
  }

  #remember(ids: readonly number[], logits: Float32Array): Float32Array {
    this.#last = { ids: [...ids], logits: logits.slice() };
    return this.#last.logits;
  }

  #forget(): void {
    this.#busy = false;
    this.#last = null;
    this.#sequence?.dispose();
    this.#sequence = null;
  }
}

function isSame(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && commonPrefix(one, other) === one.length;
}
