/** manifest.json: the contract between the export and every runtime (docs/PACKAGE.md). */

import { PackageError } from "./errors.js";
import { DamagedError, Fields, LONGEST_NAME } from "./fields.js";
import { isObject, parseJson, reason, shown } from "./untrusted.js";

export const FORMAT_VERSION = 1;
export const MANIFEST_FILE = "manifest.json";

// Caches by flavour; "host" (static) is for runtimes that bind fixed shapes.
const CACHES: Readonly<Record<string, string>> = {
  fused: "shared",
  portable: "concat",
  optimum: "concat",
  static: "host",
};
const CACHE_DTYPES = ["float32", "float16", "int8"];

// No GPT-2 comes near these; they keep what is made of the numbers small.
const MOST_LAYERS = 1000;
const MOST_HEADS = 10_000;
const LARGEST_HEAD = 65_536;
const LARGEST_HIDDEN = 1_000_000;
const LARGEST_VOCABULARY = 10_000_000;
const LONGEST_CONTEXT = 10_000_000;

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
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly files: ReadonlyMap<string, FileRecord>;
  readonly selfTest: SelfTest | null;
  /** What the export measured (docs/PACKAGE.md), as it stands there: to be shown, not believed. */
  readonly quality: Readonly<Record<string, unknown>> | null;
}

/**
 * The manifest whose content was read from `url`. PackageError, in one line, where it is damaged,
 * of a newer format, or describes a graph that this runtime cannot feed.
 */
export function parseManifest(content: Uint8Array, url: string): Manifest {
  let raw: unknown;
  try {
    raw = parseJson(content);
  } catch (error) {
    throw new PackageError(
      `${url} cannot be read as JSON (${reason(error)}); copy the package again`,
      { cause: error },
    );
  }
  const version = isObject(raw) ? raw["format_version"] : undefined;
  if (typeof version !== "number" || !Number.isInteger(version)) {
    throw new PackageError(`${url} has no format_version; copy the package again`);
  }
  if (version > FORMAT_VERSION) {
    throw new PackageError(
      `${url} has format version ${version}; this runtime reads up to ${FORMAT_VERSION}: ` +
        "upgrade it, or export the model with the version of gpt2-edge that it came with",
    );
  }
  try {
    if (version < 1) throw new DamagedError(`manifest.format_version is ${version}`);
    return readManifest(new Fields(raw, "manifest"), url);
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    throw new PackageError(`${url} is damaged (${error.message}); copy the package again`);
  }
}

function readManifest(top: Fields, url: string): Manifest {
  const sizes = top.fields("architecture");
  const vocabSize = sizes.count("vocab_size", LARGEST_VOCABULARY);
  const recipe = top.fields("recipe");
  const manifest: Manifest = {
    name: top.text("name"),
    architecture: {
      numLayers: sizes.count("num_layers", MOST_LAYERS),
      numHeads: sizes.count("num_heads", MOST_HEADS),
      headSize: sizes.count("head_size", LARGEST_HEAD),
      hiddenSize: sizes.count("hidden_size", LARGEST_HIDDEN),
      vocabSize,
      contextLength: sizes.count("context_length", LONGEST_CONTEXT),
    },
    graph: readGraph(top.fields("graph"), url),
    recipe: recipe.text("name"),
    groups: recipe
      .keys()
      .filter((key) => key !== "name")
      .map((key) => recipe.fields(key))
      .map((group) => ({ bits: group.count("bits"), blockSize: group.countOrNull("block_size") })),
    tokenizer: top.textOrNull("tokenizer"),
    bosTokenId: top.idOrNull("bos_token_id", vocabSize),
    eosTokenIds: top.ids("eos_token_ids", vocabSize),
    files: readFiles(top.fields("files"), url),
    selfTest: readSelfTest(top.fieldsOrNull("self_test"), vocabSize),
    quality: top.objectOrNull("quality"),
  };
  for (const used of [manifest.graph.file, manifest.tokenizer]) {
    if (used !== null && !manifest.files.has(used)) {
      throw new PackageError(
        `${url} uses ${shown(used)} but does not list it; copy or export the package again`,
      );
    }
  }
  return manifest;
}

/** PackageError for a graph of a kind that this runtime does not know or does not run. */
function readGraph(graph: Fields, url: string): Graph {
  const flavour = graph.text("flavour");
  const cache = graph.text("cache");
  const cacheDtype = graph.text("cache_dtype");
  const version = graph.text("min_onnxruntime");
  if (cache === "host") {
    throw new PackageError(
      `${url} has graph.flavour ${shown(flavour)} with graph.cache ${shown(cache)}, ` +
        "which the browser runtime does not run; export with --flavour fused or portable",
    );
  }
  if (!Object.hasOwn(CACHES, flavour) || CACHES[flavour] !== cache) {
    throw new PackageError(
      `${url} has graph.flavour ${shown(flavour)} with graph.cache ${shown(cache)}, ` +
        "which this runtime does not know; upgrade it, or copy the package again",
    );
  }
  if (!CACHE_DTYPES.includes(cacheDtype)) {
    throw new PackageError(
      `${url} has graph.cache_dtype ${shown(cacheDtype)}; this runtime knows ` +
        `${CACHE_DTYPES.join(", ")}: upgrade it, or export the model with another --cache-dtype`,
    );
  }
  if (!/^\d{1,6}(\.\d{1,6}){0,3}$/.test(version)) {
    throw new DamagedError(`manifest.graph.min_onnxruntime is ${shown(version)}, not a version`);
  }
  return {
    file: graph.text("file"),
    flavour,
    cache: cache as Graph["cache"],
    cacheDtype: cacheDtype as CacheDtype,
    minOnnxruntime: version,
    names: readNames(graph.fields("names")),
  };
}

function readNames(names: Fields): GraphNames {
  const read: GraphNames = {
    inputIds: names.name("input_ids"),
    attentionMask: names.name("attention_mask"),
    positionIds: names.nameOrNull("position_ids"),
    pastKey: names.layerName("past_key"),
    pastValue: names.layerName("past_value"),
    logitsToKeep: names.nameOrNull("logits_to_keep"),
    logits: names.name("logits"),
    presentKey: names.layerName("present_key"),
    presentValue: names.layerName("present_value"),
  };
  const { inputIds, attentionMask, positionIds, pastKey, pastValue, logitsToKeep } = read;
  const inputs = [inputIds, attentionMask, positionIds, pastKey, pastValue, logitsToKeep];
  for (const set of [inputs, [read.logits, read.presentKey, read.presentValue]]) {
    const used = set.filter((name) => name !== null);
    const twice = used.find((name, at) => used.indexOf(name) !== at);
    if (twice !== undefined) {
      throw new DamagedError(`manifest.graph.names has ${shown(twice)} twice`);
    }
  }
  return read;
}

/** Only names of files in the folder itself are taken: nothing else is ever asked for. */
function readFiles(files: Fields, url: string): ReadonlyMap<string, FileRecord> {
  const records = new Map<string, FileRecord>();
  for (const name of files.keys()) {
    if (!isPlainName(name)) {
      throw new PackageError(
        `${url} is damaged: its files list ${shown(name)}, which is not the name of a file in ` +
          "the package's folder; copy the package again",
      );
    }
    const record = files.fields(name);
    records.set(name, { bytes: record.size("bytes"), sha256: record.sha256("sha256") });
  }
  return records;
}

/** Whether `name` is that of a file right in a folder. */
export function isPlainName(name: string): boolean {
  return name.length <= LONGEST_NAME && !/[\\/\0]|^\.{0,2}$|\p{Surrogate}/u.test(name);
}

function readSelfTest(test: Fields | null, vocabSize: number): SelfTest | null {
  if (!test) return null;
  const logits = test.fields("logits");
  const ids = logits.keys().map((key) => (/^(0|[1-9]\d{0,8})$/.test(key) ? Number(key) : -1));
  const wrong = ids.findIndex((id) => id < 0 || id >= vocabSize);
  if (wrong >= 0) {
    const key = shown(logits.keys()[wrong]);
    throw new DamagedError(`manifest.self_test.logits has ${key}, not an id of the vocabulary`);
  }
  return {
    promptIds: test.ids("prompt_ids", vocabSize),
    expectedIds: test.ids("expected_ids", vocabSize),
    logits: ids.map((id) => [id, logits.number(String(id))]),
    tolerance: test.number("tolerance"),
  };
}
