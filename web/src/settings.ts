/**
 * What each setting of a generation may be: the rules behind GenerationConfig. spec/settings.json
 * holds the same for every runtime: name, type, range, default.
 */

/** Biases of sequences of token ids, in the order of the caller. */
export type BiasList = readonly (readonly [tokens: readonly number[], bias: number])[];

/** One setting: what it may be, and who may set it. */
export interface Rule<T, D extends T | undefined = T | undefined> {
  /** The value as the decoder takes it; undefined for one that is not allowed. */
  readonly take: (value: unknown) => T | undefined;
  readonly expected: string;
  /** Where neither caller nor package says otherwise. */
  readonly default: D;
  /** Whether a package's generation_config.json may set it. */
  readonly package: boolean;
  /** Whether a caller who sets it wants tokens drawn. */
  readonly draws: boolean;
  /** What null stands for in such a file, where that is not the default. */
  readonly ofNull?: T;
}

function rule<T, D extends T | undefined>(
  take: (value: unknown) => T | undefined,
  expected: string,
  byDefault: D,
  who: "caller" | "package" | "package, draws" | "caller, draws",
): Rule<T, D> {
  return {
    take,
    expected,
    default: byDefault,
    package: who.startsWith("package"),
    draws: who.endsWith("draws"),
  };
}

const whole = (least: number) => (value: unknown) =>
  Number.isSafeInteger(value) && (value as number) >= least ? (value as number) : undefined;

const real =
  (fine: (value: number) => boolean = () => true) =>
  (value: unknown) =>
    Number.isFinite(value) && fine(value as number) ? (value as number) : undefined;

const share = real((value) => value >= 0 && value <= 1);
const aboveZero = real((value) => value > 0);
const truth = (value: unknown) => (typeof value === "boolean" ? value : undefined);
const id = whole(0);

/** `items`, each taken by `take`; undefined where one is not allowed. */
function all<T>(
  items: readonly unknown[],
  take: (item: unknown) => T | undefined,
): readonly T[] | undefined {
  const taken = items.map(take);
  return taken.every((item) => item !== undefined) ? taken : undefined;
}

/** Token ids, a lone one too. */
function ids(value: unknown): readonly number[] | undefined {
  return Array.isArray(value) ? all(value, id) : all([value], id);
}

/** Token ids, at least one, as a list. */
function word(value: unknown): readonly number[] | undefined {
  return Array.isArray(value) && value.length > 0 ? ids(value) : undefined;
}

function words(value: unknown): readonly (readonly number[])[] | undefined {
  return Array.isArray(value) ? all(value, word) : undefined;
}

/** Biases of token ids or of sequences of them: pairs, a Map, or an object with ids as its keys. */
function biases(value: unknown): BiasList | undefined {
  if (value instanceof Map) return all([...value], biasPair);
  if (Array.isArray(value)) return all(value, biasPair);
  if (typeof value !== "object" || value === null) return undefined;
  const isId = (key: string) => /^\d+$/.test(key);
  const pairs = Object.entries(value).map(([key, bias]) => [isId(key) ? Number(key) : key, bias]);
  return all(pairs, biasPair);
}

function biasPair(pair: unknown): readonly [readonly number[], number] | undefined {
  if (!Array.isArray(pair) || pair.length !== 2) return undefined;
  const tokens = Array.isArray(pair[0]) ? word(pair[0]) : ids(pair[0]);
  const bias: unknown = pair[1];
  const isBias = typeof bias === "number" && bias < Infinity; // NaN is not
  return tokens && isBias ? [tokens, bias] : undefined;
}

const isText = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && !/\p{Surrogate}/u.test(value);

function texts(value: unknown): readonly string[] | undefined {
  return all(Array.isArray(value) ? value : [value], (item) => (isText(item) ? item : undefined));
}

function seed(value: unknown): number | bigint | undefined {
  return typeof value === "bigint" || Number.isSafeInteger(value)
    ? (value as number | bigint)
    : undefined;
}

function overflow(value: unknown): "stop" | "slide" | undefined {
  return value === "stop" || value === "slide" ? value : undefined;
}

const COUNT = "a whole number, 0 or more";
const OFF = "a whole number, 0 (off) or more";
const TRUTH = "true or false";
const IDS = "a list of token ids";

export const RULES = {
  maxNewTokens: rule(whole(1), "a whole number, at least 1", 128, "package"),
  minNewTokens: rule(whole(0), COUNT, 0, "package"),
  doSample: rule(truth, TRUTH, false, "package"),
  temperature: rule(
    real((value) => value >= 0),
    "a number, 0 (greedy) or more",
    1,
    "package, draws",
  ),
  topK: { ...rule(whole(0), OFF, 50, "package, draws"), ofNull: 0 },
  topP: rule(share, "a number from 0 to 1", 1, "package, draws"),
  minP: rule(share, "a number from 0 to 1", 0, "package, draws"),
  typicalP: rule(
    real((value) => value > 0 && value <= 1),
    "a number above 0, at most 1",
    1,
    "package, draws",
  ),
  seed: rule(seed, "a whole number (a bigint beyond 2^53)", undefined, "caller, draws"),
  repetitionPenalty: rule(aboveZero, "a number above 0", 1, "package"),
  presencePenalty: rule(real(), "a number", 0, "package"),
  frequencyPenalty: rule(real(), "a number", 0, "package"),
  noRepeatNgramSize: rule(whole(0), OFF, 0, "package"),
  badWordsIds: rule(words, "a list of lists of token ids", [], "package"),
  sequenceBias: rule(
    biases,
    "pairs of a list of token ids and a bias (not infinity)",
    [],
    "package",
  ),
  logitBias: rule(biases, "a bias (not infinity) for each token id", [], "package"),
  suppressTokens: rule(ids, IDS, [], "package"),
  beginSuppressTokens: rule(ids, IDS, [], "package"),
  // The package's own are in its manifest.
  eosTokenId: rule(ids, `a token id or ${IDS}`, undefined, "caller"),
  ignoreEos: rule(truth, TRUTH, false, "caller"),
  stopStrings: rule(texts, "strings that are not empty and hold no half characters", [], "caller"),
  includeStopStr: rule(truth, TRUTH, false, "caller"),
  maxTime: rule(aboveZero, "seconds, above 0", undefined, "package"),
  contextOverflow: rule(overflow, "'stop' or 'slide'", "stop", "caller"),
  keep: rule(whole(0), COUNT, 0, "caller"),
  logprobs: rule(truth, TRUTH, false, "caller"),
  topLogprobs: rule(whole(0), COUNT, 0, "caller"),
} satisfies Record<string, Rule<unknown>>;

/** The name of a setting here; in spec/settings.json and in files it is written with underscores. */
export type SettingName = keyof typeof RULES;

export const SETTING_NAMES = Object.keys(RULES) as SettingName[];

/** As transformers and Python write `name`: maxNewTokens is max_new_tokens. */
export function fileKey(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
