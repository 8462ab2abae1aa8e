/** How likely each token of a text is, given all before it. */

import { predictions } from "./predictions.js";
import type { Alternative } from "./result.js";
import { largest, logProbabilities, requireNumbers } from "./sampling.js";
import type { Session } from "./session.js";

/** A token's place in a text; of a prompt of ids nothing is known. */
export interface Prediction {
  /** Natural logarithm; null for the first token, which nothing precedes. */
  readonly logprob: number | null;
  /** 1 for the most likely token of the vocabulary; among equals the lower id comes first. */
  readonly rank: number | null;
  /** The most likely tokens there, most likely first. */
  readonly alternatives: readonly Alternative[];
}

/** Of each of `ids`; a first one is not predicted. GenerationError for logits that are no numbers. */
export async function scored(
  session: Session,
  ids: readonly number[],
  alternatives: number,
  signal?: AbortSignal,
): Promise<Prediction[]> {
  const found: Prediction[] = [{ logprob: null, rank: null, alternatives: [] }];
  if (ids.length < 2) return found;
  for await (const { id, logits } of predictions(session, ids, signal)) {
    requireNumbers(logits);
    const best = alternatives > 0 ? largest(logits, Math.min(alternatives, logits.length)) : [];
    const [logprob, ...others] = logProbabilities(logits, [id, ...best]);
    found.push({
      logprob: logprob!,
      rank: rankOf(logits, id),
      alternatives: best.map((other, at) => ({ id: other, logprob: others[at]! })),
    });
  }
  return found;
}

function rankOf(logits: Float32Array, id: number): number {
  const own = logits[id]!;
  let before = 0;
  for (let other = 0; other < logits.length; other++) {
    const logit = logits[other]!;
    if (logit > own || (logit === own && other < id)) before++;
  }
  return before + 1;
}
