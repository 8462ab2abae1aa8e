/** What `npm run bench` measures of a package, in Node and in a browser alike. */

import type { Generator } from "../src/index.js";

export const PROMPT_TOKENS = 128;
export const NEW_TOKENS = 64;
const RUNS = 3;

/** Tokens per second of the prompt and of the tokens after the first. */
export interface Speed {
  readonly prefill: number;
  readonly decode: number;
}

/** Medians of RUNS greedy texts behind a made-up prompt, after one that is not counted. */
export async function measure(generator: Generator): Promise<Speed> {
  const { vocabSize } = generator.manifest.architecture;
  const prompt = Array.from({ length: PROMPT_TOKENS }, (_, at) => (7 * at) % vocabSize);
  const speeds: Speed[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const config = { maxNewTokens: NEW_TOKENS, ignoreEos: true };
    const result = await generator.generate(prompt, config);
    const speed = { prefill: result.promptTokensPerSecond, decode: result.decodeTokensPerSecond };
    if (run > 0) speeds.push(speed);
  }
  const median = (key: keyof Speed) =>
    speeds.map((speed) => speed[key]).sort((a, b) => a - b)[RUNS >> 1]!;
  return { prefill: median("prefill"), decode: median("decode") };
}
