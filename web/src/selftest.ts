/** Does this device compute what the exporting machine did? */

import { settingsOf } from "./config.js";
import { decode, freshIn, type Sequence } from "./decode.js";
import { GenerationError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { TextRequest } from "./request.js";

/** What is tested of a generator. */
interface Tested {
  readonly manifest: Manifest;
  readonly session: { start(capacity: number): Promise<Sequence> };
  logits(
    prompt: readonly number[],
    options: { signal: AbortSignal | undefined },
  ): Promise<Float32Array>;
}

/**
 * Run the self-test of the manifest; what differs, a line each (empty: passed). Throws the reason of
 * `signal` once it is aborted.
 */
export async function selfTestProblems(generator: Tested, signal?: AbortSignal): Promise<string[]> {
  const test = generator.manifest.selfTest;
  if (!test) return ["the manifest has no self-test"];
  const logits = await generator.logits(test.promptIds, { signal });
  const problems = test.logits
    .filter(([id, expected]) => !(Math.abs(logits[id]! - expected) <= test.tolerance))
    .map(
      ([id, expected]) =>
        `logit of token ${id} is ${logits[id]?.toFixed(4)}; ` +
        `expected ${expected.toFixed(4)} within ${test.tolerance}`,
    );
  if (test.expectedIds.length > 0) {
    try {
      const ids = await greedyIds(generator, test.promptIds, test.expectedIds.length, signal);
      if (ids.join() !== test.expectedIds.join()) {
        problems.push(
          `greedy tokens are ${ids.join(", ")}; expected ${test.expectedIds.join(", ")}`,
        );
      }
    } catch (error) {
      if (!(error instanceof GenerationError)) throw error;
      problems.push(error.message); // logits that are not numbers
    }
  }
  return problems;
}

/** The most likely tokens behind `prompt`, whatever the package's generation_config.json sets. */
async function greedyIds(
  { manifest, session }: Tested,
  prompt: readonly number[],
  count: number,
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const settings = settingsOf({ maxNewTokens: count, ignoreEos: true });
  const { vocabSize } = manifest.architecture;
  const model = { vocabSize, eosIds: manifest.eosTokenIds, detokenizer: undefined };
  const request = new TextRequest(prompt, settings, model, signal);
  for await (const _ of decode(request, freshIn(session)));
  signal?.throwIfAborted();
  return request.newIds;
}
