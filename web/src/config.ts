/** What a caller can ask of a generation, and what a package asks where the caller does not. */

import { GenerationError, PackageError } from "./errors.js";
import { fileKey, RULES, SETTING_NAMES, type BiasList, type SettingName } from "./settings.js";
import { parseJsonObject, reason, shown } from "./untrusted.js";

/** Biases of token ids, or of sequences of them: `{ 5: -2 }`, a Map, or `[[[5, 6], -2], …]`. */
export type Biases =
  | Readonly<Record<number, number>>
  | ReadonlyMap<number, number>
  | readonly (readonly [tokens: number | readonly number[], bias: number])[];

/**
 * Settings of one generation; names and meanings follow Python's GenerationConfig (and so
 * transformers'). Whatever is not among them is refused. What is left out is as the package's
 * generation_config.json has it (`Generator.generationConfig`), else as said here.
 */
export interface GenerationConfig {
  /** How many tokens to write at most (default 128). */
  maxNewTokens?: number;
  /** No end of text before so many tokens (default 0). */
  minNewTokens?: number;
  /**
   * Draw from the distribution; false takes the most likely token (greedy). By default it samples
   * if temperature, topK, topP, minP, typicalP or seed is given, or if the package says so.
   */
  doSample?: boolean;
  /** Divides the logits (default 1); 0 is greedy. */
  temperature?: number;
  /** Keep the k most likely tokens (default 50); 0 keeps all. */
  topK?: number;
  /** Of those, keep the smallest set whose probability reaches topP (default 1); 0 keeps one. */
  topP?: number;
  /** Of those, keep the ones at least minP times as likely as the most likely one (default 0). */
  minP?: number;
  /**
   * Of those, keep the ones whose surprise is nearest to the expected one, up to this probability
   * (default 1).
   */
  typicalP?: number;
  /** Of the random generator; by default a fresh one, which the result reports. */
  seed?: number | bigint;
  /** Divides logits of tokens that are in prompt or text (default 1: none). */
  repetitionPenalty?: number;
  /** OpenAI's: taken off the logits of tokens of the new text (default 0). */
  presencePenalty?: number;
  /** OpenAI's: the same for every time that a token is in the new text (default 0). */
  frequencyPenalty?: number;
  /** So many tokens never come twice in prompt and text (default 0: off). */
  noRepeatNgramSize?: number;
  /** Sequences of tokens that are never completed. */
  badWordsIds?: readonly (readonly number[])[];
  /** Added to the logit of the last token of each sequence, behind those before it. */
  sequenceBias?: Biases;
  /** Added to the logits of tokens. */
  logitBias?: Biases;
  /** Tokens that are never written. */
  suppressTokens?: number | readonly number[];
  /** Tokens that do not begin the text. */
  beginSuppressTokens?: number | readonly number[];
  /** Tokens that end a text, in place of the package's. */
  eosTokenId?: number | readonly number[];
  /** Go on past the end-of-text token. */
  ignoreEos?: boolean;
  /** End before the first of these strings. */
  stopStrings?: string | readonly string[];
  /** End behind the stop string in place of before it. */
  includeStopStr?: boolean;
  /** Seconds after which a text ends with finishReason "time". */
  maxTime?: number;
  /**
   * Once the context is full, "stop" (default) ends with finishReason "length"; "slide" forgets
   * the older half of the window behind its first `keep` tokens and goes on. It takes longer
   * prompts, too: their first `keep` tokens and as many of the last as fit.
   */
  contextOverflow?: "stop" | "slide";
  /** How many of the first tokens a sliding window keeps (default 0). */
  keep?: number;
  /** Report the natural logarithm of each token's probability, before all of the above. */
  logprobs?: boolean;
  /** Report so many of the most likely tokens beside each one, with theirs (default 0). */
  topLogprobs?: number;
}

type Taken<K extends SettingName> = Exclude<ReturnType<(typeof RULES)[K]["take"]>, undefined>;
type Effective<K extends SettingName> = (typeof RULES)[K]["default"] extends undefined
  ? Taken<K> | undefined
  : Taken<K>;

/** A checked GenerationConfig with every default filled in. */
export type Settings = { readonly [K in SettingName]: Effective<K> } & {
  /** Whether tokens are drawn at random. */
  readonly samples: boolean;
};

/** Settings that a package can bring, as they count where a caller says nothing else. */
export interface GenerationDefaults {
  readonly maxNewTokens: number;
  readonly minNewTokens: number;
  readonly doSample: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly typicalP: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly noRepeatNgramSize: number;
  readonly badWordsIds: readonly (readonly number[])[];
  readonly sequenceBias: BiasList;
  readonly logitBias: BiasList;
  readonly suppressTokens: readonly number[];
  readonly beginSuppressTokens: readonly number[];
  readonly maxTime: number | undefined;
}

const PACKAGE_SETTINGS = SETTING_NAMES.filter((name) => RULES[name].package);

function defaultsOf(names: readonly SettingName[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, RULES[name].default]));
}

/** Of packages that bring none. */
export const DEFAULTS = defaultsOf(PACKAGE_SETTINGS) as unknown as GenerationDefaults;

/**
 * The defaults in a package's generation_config.json, whose `content` was read from `url`. Null
 * (but of top_k, where it means off) and keys that no package may set leave a default as it is.
 * PackageError for a value that cannot be, and where it is no JSON object.
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
  for (const name of PACKAGE_SETTINGS) {
    const key = fileKey(name);
    const value = Object.hasOwn(raw, key) ? (raw[key] ?? RULES[name].ofNull) : undefined;
    if (value === undefined) continue;
    const taken = RULES[name].take(value);
    if (taken === undefined) {
      throw new PackageError(
        `${url} has ${key} ${shown(value)}; it must be ${RULES[name].expected}: mend the ` +
          "checkpoint's, and export it again",
      );
    }
    defaults[name] = taken;
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
  const given: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!Object.hasOwn(RULES, key)) {
      throw new GenerationError(
        `${key} is no setting that this runtime knows; it knows ${SETTING_NAMES.join(", ")}`,
      );
    }
    if (value === undefined) continue;
    const { take, expected } = RULES[key as SettingName];
    given[key] = take(value);
    if (given[key] === undefined) {
      throw new GenerationError(`${key} is ${shown(value)}; it must be ${expected}`);
    }
  }
  const found = { ...defaultsOf(SETTING_NAMES), ...defaults, ...given } as unknown as Settings;
  const drawn = Object.keys(given).some((name) => RULES[name as SettingName].draws);
  const wanted = given["doSample"] ?? (drawn || defaults.doSample);
  return { ...found, samples: wanted === true && found.temperature !== 0 };
}
