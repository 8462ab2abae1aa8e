/** Does this device compute what the exporting machine did? */

import { settingsOf } from "./config.js";
import { decode } from "./decode.js";
import { GenerationError } from "./errors.js";
import type { Generator } from "./generate.js";
import { TextRequest } from "./request.js";

/** Run the self-test of the manifest; what differs, a line each (empty: passed). */
export async function selfTestProblems(generator: Generator): Promise<string[]> {
  const test = generator.manifest.selfTest;
  if (!test) return ["the manifest has no self-test"];
  const logits = await generator.logits(test.promptIds);
  const problems = test.logits
    .filter(([id, expected]) => !(Math.abs(logits[id]! - expected) <= test.tolerance))
    .map(
      ([id, expected]) =>
        `logit of token ${id} is ${logits[id]?.toFixed(4)}; ` +
        `expected ${expected.toFixed(4)} within ${test.tolerance}`,
    );
  if (test.expectedIds.length > 0) {
    try {
      const ids = await greedyIds(generator, test.promptIds, test.expectedIds.length);
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
  { manifest, session }: Generator,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  const settings = settingsOf({ maxNewTokens: count, ignoreEos: true });
  const { vocabSize } = manifest.architecture;
  const model = { vocabSize, eosIds: manifest.eosTokenIds, detokenizer: undefined };
  const request = new TextRequest(prompt, settings, model);
  for await (const _ of decode(request, (capacity) => session.start(capacity)));
  return request.newIds;
}
