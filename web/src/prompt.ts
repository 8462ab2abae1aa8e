/** Token ids that came from a caller or out of a tokenizer, checked against the model. */

import { ContextOverflowError, GenerationError } from "./errors.js";
import type { Architecture } from "./manifest.js";
import { shown } from "./untrusted.js";

/** Text, or token ids: an array of whole numbers, or a typed one of 16 bits or more. */
export type Prompt = string | ArrayLike<number | bigint>;

// Arrays of bytes are text that somebody forgot to decode, and floats are no ids.
const TYPED = [Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array];

/**
 * `ids` as numbers. GenerationError where they are no ids of the vocabulary or none at all,
 * ContextOverflowError where they do not fit the context; beyond: how many more they may be.
 */
export function promptIds(
  ids: ArrayLike<number | bigint>,
  sizes: Architecture,
  beyond = 0,
): number[] {
  if (!Array.isArray(ids) && !TYPED.some((kind) => ids instanceof kind)) {
    throw new GenerationError(
      `the prompt is ${shown(ids)}; give text, or an array of token ids (whole numbers)`,
    );
  }
  const { vocabSize, contextLength } = sizes;
  if (ids.length === 0) {
    throw new GenerationError(
      "the prompt is empty; give at least one token (to write from nothing, " +
        "'<|endoftext|>' in most GPT-2 vocabularies)",
    );
  }
  if (ids.length > contextLength + beyond) {
    throw new ContextOverflowError(
      `the prompt has ${ids.length} tokens; the model's context holds ${contextLength}: shorten it`,
    );
  }
  return Array.from(ids, (id) => {
    const isWhole = typeof id === "bigint" || Number.isInteger(id);
    if (!isWhole) {
      throw new GenerationError(`token id ${shown(id)} is no whole number`);
    }
    if (id < 0 || id >= vocabSize) {
      throw new GenerationError(`token id ${shown(id)} is outside the vocabulary of ${vocabSize}`);
    }
    return Number(id);
  });
}
