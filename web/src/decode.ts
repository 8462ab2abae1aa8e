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
  dispose(): void;
}

/** Write the text of `request` in an empty sequence that `start` makes, and free it. */
export async function* decode(
  request: TextRequest,
  start: (capacity: number) => Promise<Sequence>,
): AsyncGenerator<TextEvent, void, undefined> {
  const { maxNewTokens, keep } = request.settings;
  const sequence = await start(request.prompt.length + maxNewTokens - 1);
  let pending = request.prompt;
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
      const { count, logits } =
        started && pending.length === 1
          ? { count: 1, logits: await sequence.feed(pending) }
          : await sequence.read(pending);
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

function commonPrefix(one: readonly number[], other: readonly number[]): number {
  const end = one.findIndex((id, at) => id !== other[at]);
  return end < 0 ? one.length : end;
}
