/** What a caller can ask of a generation. */

import { GenerationError, PackageError } from "./errors.js";
import { parseJsonObject, reason, shown } from "./untrusted.js";

/**
 * Settings of one generation; names and meanings follow Python's GenerationConfig (and so
 * transformers'). Whatever is not among them is refused. What is left out is as the package's
 * generation_config.json has it (`Generator.generationConfig`), else as said here.
 */
export interface GenerationConfig {
  /** How many tokens to write at most (default 128). */
  maxNewTokens?: number;
  /**
   * Draw from the distribution; false takes the most likely token (greedy). By default it samples
   * if temperature, topK, topP or seed is given, or if the package says so.
   */
  doSample?: boolean;
  /** Divides the logits (default 1); 0 is greedy. */
  temperature?: number;
  /** Keep the k most likely tokens (default 50); 0 keeps all. */
  topK?: number;
  /** Of those, keep the smallest set whose probability reaches topP (default 1); 0 keeps one. */
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

/** Settings that a package can bring. */
export type GenerationDefaults = Readonly<
  Required<Pick<GenerationConfig, "maxNewTokens" | "doSample" | "temperature" | "topK" | "topP">>
>;

/** Of packages that bring none; topK, temperature and topP as in transformers. */
export const DEFAULTS: GenerationDefaults = {
  maxNewTokens: 128,
  doSample: false,
  temperature: 1,
  topK: 50,
  topP: 1,
};

// Their names in generation_config.json, which are transformers'.
const FILE_KEYS: Readonly<Record<keyof GenerationDefaults, string>> = {
  maxNewTokens: "max_new_tokens",
  doSample: "do_sample",
  temperature: "temperature",
  topK: "top_k",
  topP: "top_p",
};

const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1;
const isBoolean = (value: unknown) => typeof value === "boolean";
const isText = (value: unknown) =>
  typeof value === "string" && value !== "" && !/\p{Surrogate}/u.test(value);

const RULES: Record<keyof GenerationConfig, [(value: never) => boolean, string]> = {
  maxNewTokens: [isCount, "a whole number of at least 1"],
  doSample: [isBoolean, "true or false"],
  temperature: [(value: unknown) => isNumber(value) && value >= 0, "0 (greedy) or more"],
  topK: [(value: unknown) => value === 0 || isCount(value), "0 (off) or a whole number above it"],
  topP: [(value: unknown) => isNumber(value) && value >= 0 && value <= 1, "from 0 to 1"],
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

/**
 * The defaults in a package's generation_config.json, whose `content` was read from `url`. Null
 * and keys that this runtime does not know leave a default as it is. PackageError for a value that
 * cannot be, and where it is no JSON object.
 */
export function parseGenerationConfig(content: Uint8Array, url: string): GenerationDefaults {
  let raw: Readonly<Record<string, unknown>>;
  try {
    raw = parseJsonObject(content);
  } catch (error) {
    throw new PackageError(
      `${url} cannot be read as JSON (${reason(error)}); copy or export the package again`,
      { cause: error },
    );
  }
  const defaults: Record<string, unknown> = { ...DEFAULTS };
  for (const [name, key] of Object.entries(FILE_KEYS)) {
    const value = Object.hasOwn(raw, key) ? raw[key] : null;
    if (value === null) continue;
    const [fine, rule] = RULES[name as keyof GenerationDefaults];
    if (!fine(value as never)) {
      throw new PackageError(
        `${url} has ${key} ${shown(value)}; it must be ${rule}: mend the checkpoint's, and ` +
          "export it again",
      );
    }
    defaults[name] = value;
  }
  return defaults as unknown as GenerationDefaults;
}

/**
 * `config` checked and completed with a package's `defaults`. GenerationError for an unknown key
 * or a value out of range.
 */
export function settingsOf(config: GenerationConfig, defaults = DEFAULTS): Settings {
  if (typeof config !== "object" || config === null) {
    throw new GenerationError(`the settings are ${shown(config)}; give an object`);
  }
  for (const [key, value] of Object.entries(config)) {
    const rule = Object.hasOwn(RULES, key) ? RULES[key as keyof GenerationConfig] : undefined;
    if (!rule) {
      throw new GenerationError(
        `${key} is no setting that this runtime knows; it knows ${Object.keys(RULES).join(", ")}`,
      );
    }
    if (value !== undefined && !rule[0](value as never)) {
      throw new GenerationError(`${key} is ${shown(value)}; it must be ${rule[1]}`);
    }
  }
  const { topK, topP, seed, stopStrings = [] } = config;
  const temperature = config.temperature ?? defaults.temperature;
  const given = [config.temperature, topK, topP, seed].some((value) => value !== undefined);
  return {
    maxNewTokens: config.maxNewTokens ?? defaults.maxNewTokens,
    samples: temperature !== 0 && (config.doSample ?? (given || defaults.doSample)),
    temperature,
    topK: topK ?? defaults.topK,
    topP: topP ?? defaults.topP,
    seed,
    stopStrings: typeof stopStrings === "string" ? [stopStrings] : [...stopStrings],
    ignoreEos: config.ignoreEos ?? false,
    contextOverflow: config.contextOverflow ?? "stop",
    logprobs: config.logprobs ?? false,
  };
}
