/** The options for the next token: how likely each is, and how likely under some settings. */

import { settingsOf, type GenerationConfig } from "./config.js";
import { GenerationError } from "./errors.js";
import type { NextToken } from "./result.js";
import { largest, probabilities, requireNumbers, shares } from "./sampling.js";
import { shown } from "./untrusted.js";

/**
 * What makes of logits [vocab] the `k` most likely tokens, most likely first. Settings that are left
 * out cut nothing. GenerationError for a setting out of its range, and for logits that are no numbers.
 */
export function nextChooser(
  k: number,
  settings: GenerationConfig,
): (logits: Float32Array) => Omit<NextToken, "text">[] {
  if (!(Number.isInteger(k) && k >= 1)) {
    throw new GenerationError(`k is ${shown(k)}; it must be a whole number of at least 1`);
  }
  const given = Object.fromEntries(Object.entries(settings).filter(([, one]) => one !== undefined));
  const filters = settingsOf({ temperature: 1, topK: 0, topP: 1, minP: 0, ...given });
  return (logits) => {
    requireNumbers(logits);
    const likely = probabilities(logits);
    const best = largest(logits, Math.min(k, logits.length));
    const drawn = shares(logits, filters, best);
    return best.map((id, at) => ({ id, probability: likely[id]!, drawn: drawn[at]! }));
  };
}
