/**
 * Choosing the next token from its logits, defined as in Python's sampling.py: candidates are
 * ordered by logit, then by id; the draw is SplitMix64 through the inverse cumulative
 * distribution. spec/sampling.json holds examples. Math.exp may differ from NumPy's in
 * the last bit, so a draw within 1e-7 of the border between two tokens may fall on either side.
 */

import type { Settings } from "./config.js";
import { GenerationError } from "./errors.js";
import { uniformAt } from "./splitmix64.js";

/** Which token comes next: from its logits [vocab], for new token `number` (from 0). */
export type Chooser = (logits: Float32Array, number: number) => number;

/** The settings that say which tokens may be drawn, and how likely. */
export type Filters = Pick<Settings, "temperature" | "topK" | "topP" | "minP" | "typicalP">;

const FIRST_CANDIDATES = 1024;
const COLDEST = 1e-30; // float32 logits divided by less overflow; greedy long before

/** What chooses as `settings` ask, drawing with `seed`; a pure function. */
export function makeChooser(settings: Settings, seed: number | bigint): Chooser {
  if (!settings.samples) return greedy;
  return (logits, number) => {
    const u = uniformAt(seed, number);
    return draw(candidates(logits, settings, u), u);
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
 * What remains of `logits` [vocab] after temperature, topK (0: all), topP and minP, typicalP.
 *
 * topP and minP see the probabilities of the topK; the fewer tokens that they keep stay. Where topK
 * allows the whole vocabulary, the tokens are only sorted as far as those or a draw of `reach`
 * need: sorting all of them would cost more than the rest of the sampler.
 */
export function candidates(logits: Float32Array, filters: Filters, reach = 1): Candidates {
  const { topK, topP, minP, typicalP } = filters;
  const vocab = logits.length;
  const divisor = Math.max(filters.temperature, COLDEST);
  const truncates = topP < 1 || minP > 0;
  let k = topK === 0 ? vocab : Math.min(topK, vocab);
  const total = k === vocab ? sumOfExponentials(logits, divisor) : undefined;
  if (total !== undefined && typicalP === 1) k = Math.min(k, FIRST_CANDIDATES);
  for (;;) {
    const ids = largest(logits, k);
    const peak = logits[ids[0]!]!;
    const weights = Float64Array.from(ids, (id) => Math.exp((logits[id]! - peak) / divisor));
    const cumulative = sums(weights, total ?? weights.reduce((all, weight) => all + weight, 0));
    // A token passes topP (Holtzman et al. 2020) while the ones before it sum to less.
    let kept = topP < 1 ? firstIndex(cumulative, (reached) => reached >= topP) + 1 : k;
    // minP (Nguyen et al. 2024): at least so many times as likely as the first one, whose weight is 1.
    if (minP > 0)
      kept = Math.min(
        kept,
        firstIndex(weights, (weight) => weight < minP),
      );
    const enough = truncates ? kept < k : cumulative.at(-1)! > reach;
    if (total !== undefined && !enough && k < vocab) {
      k = Math.min(8 * k, vocab);
      continue;
    }
    if (typicalP < 1) return typical(ids.slice(0, kept), weights.slice(0, kept), typicalP);
    const complete = truncates || total === undefined || k === vocab;
    const left = cumulative.slice(0, kept);
    return { ids: ids.slice(0, kept), cumulative: left, whole: complete ? left.at(-1)! : 1 };
  }
}

/**
 * Locally typical sampling (Meister et al. 2022): of `ids` with their `weights`, those whose
 * information content is nearest to the entropy, until they sum to `mass`.
 */
function typical(ids: readonly number[], weights: Float64Array, mass: number): Candidates {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const shares = weights.map((weight) => weight / sum);
  const information = shares.map((share) => -Math.log(share));
  let entropy = 0;
  for (const [at, share] of shares.entries()) if (share > 0) entropy += share * information[at]!;
  const far = information.map((bits) => Math.abs(bits - entropy));
  const order = Array.from(far.keys()).sort((a, b) => far[a]! - far[b]! || a - b);
  const reached = sums(
    Float64Array.from(order, (at) => shares[at]!),
    1,
  );
  const last = Math.min(
    firstIndex(reached, (share) => share >= mass),
    order.length - 1,
  );
  const stays = (_: unknown, at: number) => far[at]! <= far[order[last]!]!;
  const cumulative = sums(weights.filter(stays), 1);
  return { ids: ids.filter(stays), cumulative, whole: cumulative.at(-1)! };
}

/** How likely each of `ids` is to be drawn from `logits` under `filters`; 0 for what they cut. */
export function shares(
  logits: Float32Array,
  filters: Filters,
  ids: readonly number[],
): Float64Array {
  if (filters.temperature === 0) {
    const best = greedy(logits);
    return Float64Array.from(ids, (id) => (id === best ? 1 : 0));
  }
  const { topK, topP, minP, typicalP, temperature } = filters;
  if (topK === 0 && topP >= 1 && minP === 0 && typicalP >= 1) {
    const divisor = Math.max(temperature, COLDEST);
    const [peak, whole] = [logits[greedy(logits)]!, sumOfExponentials(logits, divisor)];
    return Float64Array.from(ids, (id) => Math.exp((logits[id]! - peak) / divisor) / whole);
  }
  const { ids: left, cumulative, whole } = candidates(logits, filters);
  const drawn = new Map(
    left.map((id, at) => [id, (cumulative[at]! - (cumulative[at - 1] ?? 0)) / whole]),
  );
  return Float64Array.from(ids, (id) => drawn.get(id) ?? 0);
}

/** The token that the uniform number `u` in [0, 1) draws. */
export function draw({ ids, cumulative, whole }: Candidates, u: number): number {
  const index = firstIndex(cumulative, (reached) => reached > u * whole);
  return ids[Math.min(index, ids.length - 1)]!;
}

/** Natural logarithms of the softmax of `logits` [vocab] at each of `ids`. */
export function logProbabilities(logits: Float32Array, ids: readonly number[]): number[] {
  const whole = logits[greedy(logits)]! + Math.log(sumOfExponentials(logits, 1));
  return ids.map((id) => logits[id]! - whole);
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

/** Sums of the first 1, 2, … of `weights`, over `whole`. */
function sums(weights: Float64Array, whole: number): Float64Array {
  let sum = 0;
  return weights.map((weight) => (sum += weight / whole));
}

/** Index of the first of `sorted` for which `reached` holds, by bisection; the length if for none. */
function firstIndex(sorted: Float64Array, reached: (value: number) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (reached(sorted[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
