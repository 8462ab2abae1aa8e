/** What a caller can ask of a generation. */

import { GenerationError } from "./errors.js";

/**
 * Settings of one generation; names and meanings follow Python's GenerationConfig (and so
 * transformers'). Whatever is not among them is refused.
 */
export interface GenerationConfig {
  /** How many tokens to write at most (default 128). */
  maxNewTokens?: number;
  /**
   * Draw from the distribution; false takes the most likely token (greedy). By default it samples
   * exactly if temperature, topK, topP or seed is given.
   */
  doSample?: boolean;
  /** Divides the logits (default 1); 0 is greedy. */
  temperature?: number;
  /** Keep the k most likely tokens (default 50; the vocabulary's size or more keeps all). */
  topK?: number;
  /** Of those, keep the smallest set whose probability reaches topP (default 1). */
  topP?: number;
  /** Of the random generator; by default a fresh one, which the result reports. */
  seed?: number | bigint;
  /** End before the first of these strings; it is not part of the text. */
  stopStrings?: string | readonly string[];
  /** Go on past the end-of-text token. */
  ignoreEos?: boolean;
  /**
   * Once the context is full, "stop" (default) ends with finishReason "length"; "slide" forgets
   * the older half of the window and goes on.
   */
  contextOverflow?: "stop" | "slide";
  /** Report the natural logarithm of each token's probability, before temperature. */
  logprobs?: boolean;
}

/** A checked GenerationConfig with every default filled in. */
export interface Settings {
  readonly maxNewTokens: number;
  readonly samples: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number | bigint | undefined;
  readonly stopStrings: readonly string[];
  readonly ignoreEos: boolean;
  readonly contextOverflow: "stop" | "slide";
  readonly logprobs: boolean;
}

const DEFAULT_TOP_K = 50; // transformers' default

const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1;
const isBoolean = (value: unknown) => typeof value === "boolean";
const isText = (value: unknown) =>
  typeof value === "string" && value !== "" && !/\p{Surrogate}/u.test(value);

const RULES: Record<keyof GenerationConfig, [(value: never) => boolean, string]> = {
  maxNewTokens: [isCount, "a whole number of at least 1"],
  doSample: [isBoolean, "true or false"],
  temperature: [(value: unknown) => isNumber(value) && value >= 0, "0 (greedy) or more"],
  topK: [isCount, "a whole number of at least 1"],
  topP: [
    (value: unknown) => isNumber(value) && value > 0 && value <= 1,
    "greater than 0 and at most 1",
  ],
  seed: [
    (value: unknown) => typeof value === "bigint" || Number.isSafeInteger(value),
    "a whole number (a bigint beyond 2^53)",
  ],
  stopStrings: [
    (value: unknown) => (Array.isArray(value) ? value.every(isText) : isText(value)),
    "strings that are not empty and hold no half characters",
  ],
  ignoreEos: [isBoolean, "true or false"],
  contextOverflow: [(value: unknown) => value === "stop" || value === "slide", "'stop' or 'slide'"],
  logprobs: [isBoolean, "true or false"],
};

/** `config` checked and completed; GenerationError for an unknown key or a value out of range. */
export function settingsOf(config: GenerationConfig): Settings {
  for (const [key, value] of Object.entries(config)) {
    const rule = Object.hasOwn(RULES, key) ? RULES[key as keyof GenerationConfig] : undefined;
    if (!rule) {
      throw new GenerationError(
        `${key} is no setting that this runtime knows; it knows ${Object.keys(RULES).join(", ")}`,
      );
    }
    if (value !== undefined && !rule[0](value as never)) {
      throw new GenerationError(`${key} is ${show(value)}; it must be ${rule[1]}`);
    }
  }
  const { temperature, topK, topP, seed, stopStrings = [] } = config;
  const given = [temperature, topK, topP, seed].some((value) => value !== undefined);
  return {
    maxNewTokens: config.maxNewTokens ?? 128,
    samples: temperature !== 0 && (config.doSample ?? given),
    temperature: temperature ?? 1,
    topK: topK ?? DEFAULT_TOP_K,
    topP: topP ?? 1,
    seed,
    stopStrings: typeof stopStrings === "string" ? [stopStrings] : [...stopStrings],
    ignoreEos: config.ignoreEos ?? false,
    contextOverflow: config.contextOverflow ?? "stop",
    logprobs: config.logprobs ?? false,
  };
}

function show(value: unknown): string {
  return typeof value === "string" || Array.isArray(value) ? JSON.stringify(value) : String(value);
}
