/**
 * Choosing the next token from its logits, defined as in Python's sampling.py: candidates are
 * ordered by logit, then by id; the draw is SplitMix64 through the inverse cumulative
 * distribution. tests/vectors/sampling.json holds examples. Math.exp may differ from NumPy's in
 * the last bit, so a draw within 1e-7 of the border between two tokens may fall on either side.
 */

import type { Settings } from "./config.js";
import { GenerationError } from "./errors.js";
import { SplitMix64 } from "./splitmix64.js";

/** From logits [vocab] to a token id. */
export type Sampler = (logits: Float32Array) => number;

const FIRST_CANDIDATES = 1024;
const COLDEST = 1e-30; // float32 logits divided by less overflow; greedy long before

/** The sampler that `settings` ask for. */
export function makeSampler(settings: Settings, seed: number | bigint): Sampler {
  if (!settings.samples) return greedy;
  const { temperature, topK, topP } = settings;
  const random = new SplitMix64(seed);
  return (logits) => {
    const u = random.uniform();
    return draw(candidates(logits, temperature, topK, topP, u), u);
  };
}

/**
 * GenerationError if `logits` are no numbers to choose a token by: one is NaN, or the largest is
 * infinite.
 */
export function requireNumbers(logits: Float32Array): void {
  let largest = -Infinity;
  let isNumber = true;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit > largest) largest = logit;
    if (logit !== logit) isNumber = false;
  }
  if (isNumber && Number.isFinite(largest)) return;
  throw new GenerationError(
    "the model gave logits that are not numbers; export it again with another recipe, or take " +
      "another provider",
  );
}

/** The most likely token; the lowest id among equals. */
export function greedy(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) {
    if (logits[id]! > logits[best]!) best = id;
  }
  return best;
}

/** Ids of the k largest logits, largest first; among equals the lower id comes first. */
export function largest(logits: Float32Array, k: number): number[] {
  const before = (a: number, b: number) => logits[b]! - logits[a]! || a - b;
  if (k >= logits.length) return Array.from(logits.keys()).sort(before);
  // A heap of k ids whose root is the last among them: most logits are compared once and passed.
  const heap = Array.from({ length: k }, (_, id) => id).sort((a, b) => before(b, a));
  for (let id = k; id < logits.length; id++) {
    if (!(logits[id]! > logits[heap[0]!]!)) continue;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= k) break;
      if (child + 1 < k && before(heap[child]!, heap[child + 1]!) < 0) child++;
      if (before(heap[child]!, id) < 0) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = id;
  }
  return heap.sort(before);
}

/**
 * Tokens that may be drawn, most likely first, with their cumulative probabilities. `whole` is
 * the cumulative probability that a draw of 1 stands for; `ids` may end before it where nobody
 * asked for the rest.
 */
export interface Candidates {
  readonly ids: readonly number[];
  readonly cumulative: Float64Array;
  readonly whole: number;
}

/**
 * What remains of `logits` [vocab] after temperature, then topK (0: all), then topP (0: one).
 *
 * A token passes topP while the ones before it sum to less than topP of the topK. Where topK
 * allows the whole vocabulary, the tokens are only sorted as far as topP or a draw of `reach`
 * needs.
 */
export function candidates(
  logits: Float32Array,
  temperature: number,
  topK: number,
  topP: number,
  reach = 1,
): Candidates {
  const vocab = logits.length;
  const divisor = Math.max(temperature, COLDEST);
  const needed = topP < 1 ? topP : reach;
  let k = topK === 0 ? vocab : Math.min(topK, vocab);
  const total = k === vocab ? sumOfExponentials(logits, divisor) : undefined;
  if (total !== undefined) k = Math.min(k, FIRST_CANDIDATES);
  for (;;) {
    let ids = largest(logits, k);
    const peak = logits[ids[0]!]!;
    let cumulative = Float64Array.from(ids, (id) => Math.exp((logits[id]! - peak) / divisor));
    const sum = total ?? cumulative.reduce((all, weight) => all + weight, 0);
    cumulative.reduce((all, weight, index) => (cumulative[index] = all + weight / sum), 0);
    if (total !== undefined && !(cumulative.at(-1)! > needed) && k < vocab) {
      k = Math.min(8 * k, vocab);
      continue;
    }
    if (topP < 1) {
      const kept = firstIndex(cumulative, (reached) => reached >= topP) + 1;
      ids = ids.slice(0, kept);
      cumulative = cumulative.slice(0, kept);
    }
    const complete = topP < 1 || total === undefined || k === vocab;
    return { ids, cumulative, whole: complete ? cumulative.at(-1)! : 1 };
  }
}

/** The token that the uniform number `u` in [0, 1) draws. */
export function draw({ ids, cumulative, whole }: Candidates, u: number): number {
  const index = firstIndex(cumulative, (reached) => reached > u * whole);
  return ids[Math.min(index, ids.length - 1)]!;
}

/** Natural logarithm of the softmax of `logits` [vocab] at `id`. */
export function logProbability(logits: Float32Array, id: number): number {
  const peak = logits[greedy(logits)]!;
  return logits[id]! - peak - Math.log(sumOfExponentials(logits, 1));
}

/** Softmax of `logits` [vocab]. */
export function probabilities(logits: Float32Array): Float64Array {
  const peak = logits[greedy(logits)]!;
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - peak));
  const sum = weights.reduce((all, weight) => all + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Sum over the vocabulary of e to the power of (logit - largest logit) / divisor. */
function sumOfExponentials(logits: Float32Array, divisor: number): number {
  const peak = logits[greedy(logits)]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp((logit - peak) / divisor);
  return sum;
}

/** Index of the first value for which `reached` holds, by bisection; the length if for none. */
function firstIndex(ascending: Float64Array, reached: (value: number) => boolean): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (reached(ascending[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
