/** The decoder: the only loop, from a request over a cached sequence to the events of its text. */

import { nextTask } from "./next-task.js";
import type { TextRequest } from "./request.js";
import type { TextEvent } from "./result.js";
import { slid } from "./window.js";

/** What the loop needs of a cached sequence; session.ts has the real one. */
export interface Sequence {
  /** The tokens that it holds, and how many it has room for. */
  readonly ids: readonly number[];
  readonly capacity: number;
  /** Feed `ids`; logits [vocab] after the last of them. */
  feed(ids: readonly number[]): Promise<Float32Array>;
  /**
   * Feed the next part of a prompt: how many of `ids` it took, and logits [vocab] after the last
   * of them, null where some are left.
   */
  read(ids: readonly number[]): Promise<{ count: number; logits: Float32Array | null }>;
  /** Forget all tokens from number `length` on. */
  trim(length: number): Promise<void>;
  /** `count` rows that go on from here together; absent where the graph takes one at a time. */
  fork?: ((count: number) => Promise<Rows>) | undefined;
  dispose(): void;
}

/** Texts behind one beginning that take each step together. */
export interface Rows {
  /** Feed each row its token; logits [vocab] of each. */
  step(tokens: readonly number[]): Promise<Float32Array[]>;
  dispose(): void;
}

/**
 * A sequence for a text behind `prompt` that holds `prompt`'s beginning or nothing; where it holds
 * all of it, the logits behind that too.
 */
export type Begin = (
  prompt: readonly number[],
  capacity: number,
) => Promise<{ readonly sequence: Sequence; readonly logits: Float32Array | null }>;

/** Begins in a new sequence of `session`. */
export function freshIn(session: { start(capacity: number): Promise<Sequence> }): Begin {
  return async (_, capacity) => ({ sequence: await session.start(capacity), logits: null });
}

/** Write the text of `request` in the sequence of `begin`, and dispose it. */
export async function* decode(
  request: TextRequest,
  begin: Begin,
): AsyncGenerator<TextEvent, void, undefined> {
  const { maxNewTokens, keep } = request.settings;
  const { prompt } = request;
  const begun = await begin(prompt, prompt.length + maxNewTokens - 1);
  const { sequence } = begun;
  let known = begun.logits;
  let pending = prompt.slice(sequence.ids.length);
  let started = false; // has a first token
  try {
    while (!request.over) {
      await nextTask();
      const reason = request.interruption();
      if (reason !== null) {
        if (request.end(reason)) yield request.events.at(-1)!;
        return;
      }
      const began = performance.now();
      const isPrompt = !started;
      const told = request.events.length;
      // A lone token behind a started text is a decoding step; all else is read as a prompt is.
      const { count, logits } = known
        ? { count: 0, logits: known }
        : started && pending.length === 1
          ? { count: 1, logits: await sequence.feed(pending) }
          : await sequence.read(pending);
      known = null;
      pending = pending.slice(count);
      if (logits !== null) {
        started = true;
        const full = sequence.ids.length === sequence.capacity;
        pending = [request.accept(logits, full)];
        if (full && !request.over) {
          const window = slid(sequence.ids, keep);
          const stays = commonPrefix(sequence.ids, window);
          await sequence.trim(stays);
          pending = [...window.slice(stays), ...pending];
        }
      }
      const seconds = (performance.now() - began) / 1000;
      if (isPrompt) request.promptSeconds += seconds;
      else request.decodeSeconds += seconds;
      if (request.events.length > told) yield request.events.at(-1)!;
    }
  } finally {
    sequence.dispose();
  }
}

/** How many tokens two texts have in common at their beginning. */
export function commonPrefix(one: readonly number[], other: readonly number[]): number {
  const end = one.findIndex((id, at) => id !== other[at]);
  return end < 0 ? one.length : end;
}
