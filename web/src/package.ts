/** Downloading a package: what its manifest says against what the server sends. */

import { DEFAULTS, parseGenerationConfig, type GenerationDefaults } from "./config.js";
import { fetchFile, get, requireOk, Unreachable } from "./download.js";
import type { DownloadOptions } from "./download.js";
import { PackageError } from "./errors.js";
import { readGraphFile, type GraphFile } from "./graph-file.js";
import { weightGroups, type WeightGroup } from "./groups.js";
import { MANIFEST_FILE, parseManifest, type Manifest } from "./manifest.js";
import type { Provider, RuntimeFile } from "./runtime.js";
import {
  JSON_LIMIT,
  readBody,
  reason,
  shown,
  TOKENIZER_LIMIT,
  UnreadableError,
} from "./untrusted.js";

/** The files that a runtime reads, whole in memory. */
export interface Package {
  readonly url: string;
  readonly manifest: Manifest;
  readonly graph: Uint8Array<ArrayBuffer>;
  /** Sizes of the graph's table of positions; null where it has none that is plain to see. */
  readonly positions: GraphFile["positions"];
  /** Its weights, by part of the model. */
  readonly groups: readonly WeightGroup[];
  /** External weights, by the names that the graph has for them. */
  readonly weights: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly tokenizer: Uint8Array<ArrayBuffer> | null;
  readonly defaults: GenerationDefaults;
  /** ONNX Runtime's WebAssembly, where it was asked for. */
  readonly runtime: { readonly provider: Provider; readonly binary: Uint8Array } | null;
}

const GENERATION_CONFIG = "generation_config.json";
// What WebAssembly can address; the weights of a package cannot be more.
const MOST_BYTES = 2 ** 32;

/** A package's manifest, and its bytes as they came. */
export interface FetchedManifest {
  readonly manifest: Manifest;
  readonly content: Uint8Array;
}

/**
 * Read the manifest of the package at `url`, a folder, and nothing else. Where the server cannot be
 * reached, the one that was kept is taken.
 */
export async function fetchManifest(
  url: string | URL,
  options: DownloadOptions = {},
): Promise<FetchedManifest> {
  const address = fileUrl(folderUrl(url), MANIFEST_FILE);
  let content: Uint8Array;
  try {
    content = await readManifest(address, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    const kept = error instanceof Unreachable ? await options.keep?.manifest(address) : null;
    if (!kept) throw error;
    content = kept;
  }
  return { manifest: parseManifest(content, address), content };
}

async function readManifest(address: string, options: DownloadOptions): Promise<Uint8Array> {
  const response = await get(address, options, options.signal);
  if (response.status === 404) {
    throw new PackageError(
      `${address.slice(0, -MANIFEST_FILE.length)} has no ${MANIFEST_FILE}` +
        `${address.startsWith("file:") ? "" : " (HTTP 404)"}; ` +
        "is it a package that gpt2-edge export wrote?",
    );
  }
  requireOk(response, address);
  try {
    return await readBody(response, JSON_LIMIT);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof UnreadableError) {
      throw new PackageError(
        `${address} cannot be read (${reason(error)}); copy the package again`,
        { cause: error },
      );
    }
    throw new Unreachable(`${address} broke off (${reason(error)}); try again`, { cause: error });
  }
}

/**
 * Download what `manifest` says a runtime needs from `url`; sizes and hashes are compared. Which
 * files have weights is in the graph: those of the usual names come with it, others after it.
 * `runtime`, ONNX Runtime's own file, comes with them and counts in the progress.
 */
export async function fetchPackage(
  url: string | URL,
  manifest: Manifest,
  options: DownloadOptions = {},
  runtime: RuntimeFile | null = null,
): Promise<Package> {
  const folder = folderUrl(url);
  const verify = options.verify ?? true;
  if (verify && !globalThis.crypto?.subtle) {
    throw new PackageError(
      "SHA-256 is only there on https: or localhost; serve the page so, or load with verify: false",
    );
  }
  const { tokenizer, files } = manifest;
  const main = manifest.graph.file;
  const graphUrl = fileUrl(folder, main);
  const wanted = new Set<string>();
  let total = runtime?.bytes ?? 0;
  const want = (names: readonly string[]): string[] => {
    const added = names.filter((name) => !wanted.has(name));
    for (const name of added) {
      wanted.add(name);
      total += files.get(name)!.bytes;
    }
    if (total > MOST_BYTES) {
      throw new PackageError(
        `${folder} has ${total} bytes to load, a browser's WebAssembly holds ${MOST_BYTES}; ` +
          "export a smaller recipe",
      );
    }
    return added;
  };
  let loaded = 0;
  // The first file that fails ends the other downloads.
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal ? [options.signal] : [])]);
  const counting = (name: string) => (bytes: number) => {
    loaded += bytes;
    options.onProgress?.({ file: name, loaded, total });
  };
  const download = async (name: string): Promise<[string, Uint8Array<ArrayBuffer>]> => {
    const file = { url: fileUrl(folder, name), ...files.get(name)! };
    return [name, await fetchFile(file, options, signal, counting(name))];
  };
  const small = {
    [GENERATION_CONFIG]: JSON_LIMIT,
    ...(tokenizer && { [tokenizer]: TOKENIZER_LIMIT }),
  };
  for (const [name, limit] of Object.entries(small)) {
    if ((files.get(name)?.bytes ?? 0) <= limit) continue;
    throw new PackageError(
      `${fileUrl(folder, name)} has more than ${limit >> 20} MB; export the package again`,
    );
  }
  const hashes = new Set(
    [...files.values(), ...(runtime ? [runtime] : [])].map((file) => file.sha256),
  );
  for (const hash of options.keep?.begun.keys() ?? []) {
    if (!hashes.has(hash)) options.keep?.begun.delete(hash); // memory that this package needs
  }
  try {
    const usual = [...files.keys()].filter(
      (name) => name.startsWith(main) || Object.hasOwn(small, name),
    );
    const [wasm, ...found] = await Promise.all([
      runtime && fetchFile(runtime, options, signal, counting(runtime.url.split("/").at(-1)!)),
      ...want(usual).map(download),
    ]);
    const contents = new Map(found);
    const graph = contents.get(main)!;
    const { locations, positions, tensors } = graphFile(graph, manifest, graphUrl);
    const others = await Promise.all(want([...locations]).map(download));
    for (const [name, content] of others) contents.set(name, content);
    const defaults = contents.get(GENERATION_CONFIG);
    return {
      url: folder,
      manifest,
      graph,
      positions,
      groups: weightGroups(tensors, manifest.architecture),
      weights: new Map([...locations].map((name) => [name, contents.get(name)!])),
      tokenizer: tokenizer === null ? null : contents.get(tokenizer)!,
      defaults: defaults
        ? parseGenerationConfig(defaults, fileUrl(folder, GENERATION_CONFIG))
        : DEFAULTS,
      runtime: runtime && wasm && { provider: runtime.provider, binary: wasm },
    };
  } catch (error) {
    failed.abort();
    throw error;
  }
}

/** What the ONNX file refers to; PackageError unless all of it is in the manifest's files. */
function graphFile(content: Uint8Array, manifest: Manifest, url: string): GraphFile {
  let found: GraphFile;
  try {
    found = readGraphFile(content, manifest.graph.names.positionIds);
  } catch (error) {
    throw new PackageError(
      `${url} is no graph that can be read: ${reason(error)}; copy or export the package again`,
      { cause: error },
    );
  }
  for (const name of found.locations) {
    if (!manifest.files.has(name)) {
      throw new PackageError(
        `${url} has weights in ${shown(name)}, which the manifest does not list; ` +
          "export the package again",
      );
    }
  }
  return found;
}

function folderUrl(url: string | URL): string {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    const folder = new URL(url, base);
    if (!folder.pathname.endsWith("/")) folder.pathname += "/";
    return folder.href;
  } catch (error) {
    throw new PackageError(`${shown(String(url))} is no URL of a package folder`, { cause: error });
  }
}

/** Where the file `name` of the package at `folder` is. */
export function fileUrl(folder: string, name: string): string {
  const url = new URL(folder); // keeps a query, such as a signature
  url.pathname += encodeURIComponent(name);
  return url.href;
}
