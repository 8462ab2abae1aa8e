/**
 * tokenizer.json: checked as far as the library that reads it takes its word, and put into the form
 * in which that library does what Hugging Face's tokenizers do.
 */

import { isObject, parseJsonObject, shown, UnreadableError } from "./untrusted.js";

type Json = Readonly<Record<string, unknown>>;

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface Replacement {
  readonly from: string;
  readonly to: string;
}

/** What `readTokenizerFile` makes of a tokenizer.json. */
export interface TokenizerFile {
  /** The file's content, for the library. */
  readonly content: Json;
  readonly added: readonly AddedToken[];
  /** Where tokens are bytes in GPT-2's letters: what is replaced in their text; else null. */
  readonly byteLevel: readonly Replacement[] | null;
  /** What stands for words that a model of whole words does not know. */
  readonly unknownToken: string | null;
  /** Puts the special tokens around a text's ids. */
  readonly frame: Frame;
}

type Frame = (ids: readonly number[]) => number[];

const MOST_IDS = 10_000_000; // as of a manifest's vocabulary

/** The tokenizer.json with this `content`; UnreadableError where a part of it cannot be. */
export function readTokenizerFile(content: Uint8Array): TokenizerFile {
  const raw = parseJsonObject(content);
  const model = readModel(raw["model"]);
  const added = readAddedTokens(raw["added_tokens"] ?? []);
  const decoder = raw["decoder"] ?? null;
  const unknown = model["unk_token"];
  return {
    content: {
      normalizer: null,
      post_processor: null,
      ...raw,
      model,
      decoder,
      added_tokens: raw["added_tokens"] ?? [],
      pre_tokenizer: withExactSpaces(raw["pre_tokenizer"] ?? null),
    },
    added,
    byteLevel: byteLevelOf(decoder),
    unknownToken: typeof unknown === "string" ? unknown : null,
    frame: frameOf(raw["post_processor"] ?? null),
  };
}

/** `file` as one that takes special tokens in a text for ordinary text. */
export function withoutSpecialTokens(file: TokenizerFile): TokenizerFile {
  const added = file.added.filter((token) => !token.special);
  const ids = new Set(added.map(({ id }) => id));
  const tokens = file.content["added_tokens"] as readonly AddedToken[];
  const content = { ...file.content, added_tokens: tokens.filter(({ id }) => ids.has(id)) };
  return { ...file, added, content };
}

function readModel(raw: unknown): Json {
  if (!isObject(raw)) throw wrong("model", raw);
  const { vocab, merges } = raw;
  if (Array.isArray(vocab)) {
    const isPiece = (piece: unknown): boolean =>
      Array.isArray(piece) && typeof piece[0] === "string" && Number.isFinite(piece[1]);
    const at = vocab.findIndex((piece) => !isPiece(piece));
    if (at >= 0) throw wrong(`model.vocab[${at}]`, vocab[at]);
  } else {
    if (!isObject(vocab)) throw wrong("model.vocab", vocab);
    if (!Object.values(vocab).every(isId)) {
      const [token, id] = Object.entries(vocab).find((entry) => !isId(entry[1]))!;
      throw wrong(`the id of ${shown(token)}`, id);
    }
  }
  if (merges === undefined) return raw;
  if (!Array.isArray(merges)) throw wrong("model.merges", merges);
  const isText = (value: unknown): boolean => typeof value === "string";
  const isPair = (value: unknown): boolean =>
    Array.isArray(value) && value.length === 2 && value.every(isText);
  const kind = Array.isArray(merges[0]) ? isPair : isText;
  const at = merges.findIndex((merge) => !kind(merge));
  if (at >= 0) throw wrong(`model.merges[${at}]`, merges[at]);
  // Files of early versions have no type; only BPE has merges.
  return raw["type"] === undefined ? { ...raw, type: "BPE" } : raw;
}

function readAddedTokens(raw: unknown): AddedToken[] {
  if (!Array.isArray(raw)) throw wrong("added_tokens", raw);
  return raw.map((token: unknown, at) => {
    if (!isObject(token)) throw wrong(`added_tokens[${at}]`, token);
    const { id, content, special = false } = token;
    if (!isId(id)) throw wrong(`added_tokens[${at}].id`, id);
    if (typeof content !== "string") throw wrong(`added_tokens[${at}].content`, content);
    if (typeof special !== "boolean") throw wrong(`added_tokens[${at}].special`, special);
    return { id, content, special };
  });
}

/** How the post-processor puts special tokens around a text, by the ids that it names. */
function frameOf(processor: unknown): Frame {
  if (processor === null) return (ids) => [...ids];
  if (!isObject(processor)) throw wrong("post_processor", processor);
  const { type } = processor;
  if (type === "ByteLevel") return (ids) => [...ids]; // it moves offsets only
  if (type === "BertProcessing" || type === "RobertaProcessing") {
    const [first, last] = [pairId(processor["cls"]), pairId(processor["sep"])];
    return (ids) => [first, ...ids, last];
  }
  if (type === "TemplateProcessing") {
    const parts = templateParts(processor);
    return (ids) => parts.flatMap((part) => part ?? ids);
  }
  if (type === "Sequence" && Array.isArray(processor["processors"])) {
    const frames = processor["processors"].map(frameOf);
    return (ids) => frames.reduce((framed, frame) => frame(framed), [...ids]);
  }
  throw wrong("post_processor", processor);
}

/** Ids of a template's special tokens; null where the text belongs. */
function templateParts({ single, special_tokens: tokens }: Json): (number[] | null)[] {
  if (!Array.isArray(single)) throw wrong("post_processor.single", single);
  return single.map((part: unknown) => {
    const special = isObject(part) && part["SpecialToken"];
    if (!isObject(special)) {
      if (isObject(part) && isObject(part["Sequence"])) return null;
      throw wrong("a part of post_processor.single", part);
    }
    const name = String(special["id"]);
    const token = isObject(tokens) && Object.hasOwn(tokens, name) ? tokens[name] : undefined;
    const ids = isObject(token) ? token["ids"] : undefined;
    if (!Array.isArray(ids) || !ids.every(isId))
      throw wrong(`the special token ${shown(name)}`, token);
    return ids;
  });
}

function pairId(pair: unknown): number {
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (!isId(id)) throw wrong("a special token of post_processor", pair);
  return id;
}

/** What a ByteLevel decoder, alone or before others that replace text, replaces; else null. */
function byteLevelOf(decoder: unknown): Replacement[] | null {
  if (!isObject(decoder)) return null;
  const { type, decoders } = decoder;
  if (type === "ByteLevel") return [];
  if (type !== "Sequence" || !Array.isArray(decoders)) return null;
  const [first, ...rest] = decoders;
  if (!isObject(first) || first["type"] !== "ByteLevel") return null;
  const replacements = rest.map(replacementOf);
  return replacements.every((one) => one !== null) ? replacements : null;
}

function replacementOf(decoder: unknown): Replacement | null {
  if (!isObject(decoder) || decoder["type"] !== "Replace") return null;
  const { pattern, content } = decoder;
  const from = isObject(pattern) ? pattern["String"] : undefined;
  if (typeof from !== "string" || from === "" || typeof content !== "string") return null;
  return { from, to: content };
}

// GPT-2's pattern (encoder.py of its release).
const PIECES = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * The library splits GPT-2's byte-level text by JavaScript's \s, which takes U+FEFF for a space
 * and U+0085 for none; Hugging Face's tokenizers, with which models are trained, do not. Written
 * as a Split of its own, the library translates the same pattern exactly.
 */
function withExactSpaces(first: unknown): unknown {
  if (!isObject(first)) return first;
  if (first["type"] === "Sequence" && Array.isArray(first["pretokenizers"])) {
    return { ...first, pretokenizers: first["pretokenizers"].map(withExactSpaces) };
  }
  if (first["type"] !== "ByteLevel" || first["use_regex"] === false) return first;
  // Not \A(?! ): V8 finds that, which is empty, within the halves of an emoji too.
  const space = { type: "Replace", pattern: { Regex: "\\A([^ ])" }, content: " $1" };
  const split = { type: "Split", pattern: { Regex: PIECES }, behavior: "Isolated", invert: false };
  const bytes = { ...first, use_regex: false, add_prefix_space: false };
  const steps = first["add_prefix_space"] ? [space, split, bytes] : [split, bytes];
  return { type: "Sequence", pretokenizers: steps };
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MOST_IDS;
}

function wrong(where: string, value: unknown): UnreadableError {
  return new UnreadableError(`${where} is ${shown(value)}`);
}
