/** The logits that predict each token of a text. */

import { nextTask } from "./next-task.js";
import type { Session } from "./session.js";

const TOKEN_GROUP = 16; // as prefill.ts has it
// Positions whose logits exist at one time: 26 MB with GPT-2's vocabulary.
const CHUNK = 128;

/**
 * Each of `ids` but the first with the logits [vocab] that predict it, valid until the next one.
 * Where the session takes smaller steps only, or the cut would leave a token alone, chunks are
 * smaller. Throws the reason of `signal` once it is aborted.
 */
export async function* predictions(
  session: Session,
  ids: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<{ id: number; logits: Float32Array }, void, undefined> {
  const fed = ids.slice(0, -1);
  const { vocabSize } = session.manifest.architecture;
  const sequence = await session.start(fed.length);
  try {
    while (sequence.length < fed.length) {
      await nextTask();
      signal?.throwIfAborted();
      const begin = sequence.length;
      let end = Math.min(begin + Math.min(CHUNK, session.stepLimit), fed.length);
      if (fed.length - end === 1 && end - begin > TOKEN_GROUP) end -= TOKEN_GROUP;
      const logits = await sequence.feedKeeping(fed.slice(begin, end), end - begin);
      for (let at = begin; at < end; at++) {
        const from = (at - begin) * vocabSize;
        yield { id: ids[at + 1]!, logits: logits.subarray(from, from + vocabSize) };
      }
    }
  } finally {
    sequence.dispose();
  }
}
