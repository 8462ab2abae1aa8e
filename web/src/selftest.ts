/** Does this device compute what the exporting machine did? */

import { GenerationError } from "./errors.js";
import type { Generator } from "./generate.js";

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
    const wanted = { maxNewTokens: test.expectedIds.length, ignoreEos: true, doSample: false };
    try {
      const { ids } = await generator.generate(test.promptIds, wanted);
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
