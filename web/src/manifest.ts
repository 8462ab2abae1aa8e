/** manifest.json: the contract between the export and every runtime (docs/PACKAGE.md). */

import { PackageError } from "./errors.js";

export const FORMAT_VERSION = 1;
export const MANIFEST_FILE = "manifest.json";

export type CacheDtype = "float32" | "float16" | "int8";

/** Sizes that a runtime needs; `headSize` is that of the cache, padding included. */
export interface Architecture {
  readonly numLayers: number;
  readonly numHeads: number;
  readonly headSize: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly contextLength: number;
}

/** Names of the graph's inputs and outputs; `{i}` stands for the layer's number. */
export interface GraphNames {
  readonly inputIds: string;
  readonly attentionMask: string;
  readonly positionIds: string | null;
  readonly pastKey: string;
  readonly pastValue: string;
  readonly logitsToKeep: string | null;
  readonly logits: string;
  readonly presentKey: string;
  readonly presentValue: string;
}

/** The ONNX graph; `cache` is "shared" (one buffer can be past and present) or "concat". */
export interface Graph {
  readonly file: string;
  readonly flavour: string;
  readonly cache: "shared" | "concat";
  readonly cacheDtype: CacheDtype;
  readonly minOnnxruntime: string;
  readonly names: GraphNames;
}

/** Size in bytes and SHA-256 of one file of the package. */
export interface FileRecord {
  readonly bytes: number;
  readonly sha256: string;
}

/** What the package must compute; `logits` are those after the prompt, [token id, logit]. */
export interface SelfTest {
  readonly promptIds: readonly number[];
  readonly expectedIds: readonly number[];
  readonly logits: readonly (readonly [number, number])[];
  readonly tolerance: number;
}

/** Bits of a group of matrices; without `blockSize`, floats or one scale an output. */
export interface RecipeGroup {
  readonly bits: number;
  readonly blockSize: number | null;
}

/** What this runtime reads of manifest.json. */
export interface Manifest {
  readonly name: string;
  readonly architecture: Architecture;
  readonly graph: Graph;
  readonly recipe: string;
  readonly groups: readonly RecipeGroup[];
  readonly tokenizer: string | null;
  readonly eosTokenIds: readonly number[];
  readonly files: ReadonlyMap<string, FileRecord>;
  readonly selfTest: SelfTest | null;
}

/**
 * The manifest whose text was read from `url`. PackageError, in one line, where it is damaged, of
 * a newer format, or describes a graph that this runtime cannot feed.
 */
export function parseManifest(text: string, url: string): Manifest {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new PackageError(`${url} cannot be read as JSON; copy the package again`);
  }
  const version = (raw as { format_version?: unknown } | null)?.format_version;
  if (!Number.isInteger(version)) {
    throw new PackageError(`${url} has no format_version; copy the package again`);
  }
  if ((version as number) > FORMAT_VERSION) {
    throw new PackageError(
      `${url} has format version ${version}; this runtime reads up to ${FORMAT_VERSION}: ` +
        "upgrade it, or export the model with the version of gpt2-edge that it came with",
    );
  }
  let manifest: Manifest;
  let cache: string;
  try {
    const top = new Fields(raw, "manifest");
    cache = top.fields("graph").text("cache");
    manifest = readManifest(top);
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    throw new PackageError(`${url} is damaged (${error.message}); copy the package again`);
  }
  if (cache !== "shared" && cache !== "concat") {
    throw new PackageError(
      `${url} has graph.flavour ${show(manifest.graph.flavour)} with graph.cache ${show(cache)}, ` +
        "which the browser runtime does not run; export with --flavour fused or portable",
    );
  }
  if (!["float32", "float16", "int8"].includes(manifest.graph.cacheDtype)) {
    throw new PackageError(
      `${url} has graph.cache_dtype ${show(manifest.graph.cacheDtype)}; this runtime knows ` +
        "float32, float16, int8: upgrade it, or export the model with another --cache",
    );
  }
  return manifest;
}

function readManifest(top: Fields): Manifest {
  const sizes = top.fields("architecture");
  const graph = top.fields("graph");
  const names = graph.fields("names");
  const recipe = top.fields("recipe");
  const test = top.fieldsOrNull("self_test");
  return {
    name: top.text("name"),
    architecture: {
      numLayers: sizes.count("num_layers"),
      numHeads: sizes.count("num_heads"),
      headSize: sizes.count("head_size"),
      hiddenSize: sizes.count("hidden_size"),
      vocabSize: sizes.count("vocab_size"),
      contextLength: sizes.count("context_length"),
    },
    graph: {
      file: graph.text("file"),
      flavour: graph.text("flavour"),
      cache: graph.text("cache") as Graph["cache"],
      cacheDtype: graph.text("cache_dtype") as CacheDtype,
      minOnnxruntime: graph.text("min_onnxruntime"),
      names: {
        inputIds: names.text("input_ids"),
        attentionMask: names.text("attention_mask"),
        positionIds: names.textOrNull("position_ids"),
        pastKey: names.text("past_key"),
        pastValue: names.text("past_value"),
        logitsToKeep: names.textOrNull("logits_to_keep"),
        logits: names.text("logits"),
        presentKey: names.text("present_key"),
        presentValue: names.text("present_value"),
      },
    },
    recipe: recipe.text("name"),
    groups: recipe
      .keys()
      .filter((key) => key !== "name")
      .map((key) => recipe.fields(key))
      .map((group) => ({ bits: group.count("bits"), blockSize: group.countOrNull("block_size") })),
    tokenizer: top.textOrNull("tokenizer"),
    eosTokenIds: top.ids("eos_token_ids"),
    files: new Map(
      top
        .fields("files")
        .entries()
        .map(([name, record]) => [
          name,
          { bytes: record.size("bytes"), sha256: record.text("sha256") },
        ]),
    ),
    selfTest: test && {
      promptIds: test.ids("prompt_ids"),
      expectedIds: test.ids("expected_ids"),
      logits: test
        .fields("logits")
        .keys()
        .map((id) => [Number(id), test.fields("logits").number(id)]),
      tolerance: test.number("tolerance"),
    },
  };
}

class DamagedError extends Error {}

/** An object out of JSON whose values are asked for by key and type. */
class Fields {
  readonly #raw: Record<string, unknown>;

  constructor(
    raw: unknown,
    private readonly where: string,
  ) {
    if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
      throw new DamagedError(`${where} is ${show(raw)}`);
    }
    this.#raw = raw as Record<string, unknown>;
  }

  keys(): string[] {
    return Object.keys(this.#raw);
  }

  entries(): [string, Fields][] {
    return this.keys().map((key) => [key, this.fields(key)]);
  }

  fields(key: string): Fields {
    return new Fields(this.#value(key), `${this.where}.${key}`);
  }

  fieldsOrNull(key: string): Fields | null {
    return this.#isNull(key) ? null : this.fields(key);
  }

  text(key: string): string {
    return this.#checked(key, (value) => typeof value === "string");
  }

  textOrNull(key: string): string | null {
    return this.#isNull(key) ? null : this.text(key);
  }

  number(key: string): number {
    return this.#checked(key, (value) => Number.isFinite(value));
  }

  size(key: string): number {
    return this.#checked(key, (value) => Number.isSafeInteger(value) && (value as number) >= 0);
  }

  count(key: string): number {
    return this.#checked(key, (value) => Number.isSafeInteger(value) && (value as number) > 0);
  }

  countOrNull(key: string): number | null {
    return this.#isNull(key) ? null : this.count(key);
  }

  ids(key: string): number[] {
    return this.#checked(
      key,
      (value) => Array.isArray(value) && value.every((id) => Number.isSafeInteger(id)),
    );
  }

  #checked<T>(key: string, fine: (value: unknown) => boolean): T {
    const value = this.#value(key);
    if (!fine(value)) throw new DamagedError(`${this.where}.${key} is ${show(value)}`);
    return value as T;
  }

  #value(key: string): unknown {
    if (!Object.hasOwn(this.#raw, key)) throw new DamagedError(`${this.where}.${key} is missing`);
    return this.#raw[key];
  }

  #isNull(key: string): boolean {
    return !Object.hasOwn(this.#raw, key) || this.#raw[key] === null;
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
