/** Downloading a package: what its manifest says against what the server sends. */

import { DEFAULTS, parseGenerationConfig, type GenerationDefaults } from "./config.js";
import { PackageError } from "./errors.js";
import { readGraphFile, type GraphFile } from "./graph-file.js";
import { MANIFEST_FILE, parseManifest, type FileRecord, type Manifest } from "./manifest.js";
import {
  JSON_LIMIT,
  readBody,
  reason,
  shown,
  TOKENIZER_LIMIT,
  UnreadableError,
} from "./untrusted.js";

/** How far a download is; `loaded` and `total` count the bytes of all files that are needed. */
export interface Progress {
  readonly file: string;
  readonly loaded: number;
  readonly total: number;
}

export interface DownloadOptions {
  /** Compare the SHA-256 of the files with the manifest (default true). */
  verify?: boolean;
  onProgress?: (progress: Progress) => void;
  /** Ends the download: load then throws the signal's reason. */
  signal?: AbortSignal;
  /** In place of the global fetch: for headers, caches, other sources. */
  fetch?: (url: string, init: { signal: AbortSignal }) => Promise<Response>;
}

/** The files that a runtime reads, whole in memory. */
export interface Package {
  readonly url: string;
  readonly manifest: Manifest;
  readonly graph: Uint8Array<ArrayBuffer>;
  /** Sizes of the graph's table of positions; null where it has none that is plain to see. */
  readonly positions: GraphFile["positions"];
  /** External weights, by the names that the graph has for them. */
  readonly weights: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly tokenizer: Uint8Array<ArrayBuffer> | null;
  readonly defaults: GenerationDefaults;
}

const GENERATION_CONFIG = "generation_config.json";
// What WebAssembly can address; the weights of a package cannot be more.
const MOST_BYTES = 2 ** 32;
// Node's fetch took a connection that the server had closed; browsers try again by themselves.
const STALE = ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"];

/** Read the manifest of the package at `url`, a folder, and nothing else. */
export async function fetchManifest(
  url: string | URL,
  options: DownloadOptions = {},
): Promise<Manifest> {
  const folder = folderUrl(url);
  const address = fileUrl(folder, MANIFEST_FILE);
  const response = await get(address, options, options.signal);
  if (response.status === 404) {
    throw new PackageError(
      `${folder} has no ${MANIFEST_FILE} (HTTP 404); is it a package that gpt2-edge export wrote?`,
    );
  }
  requireOk(response, address);
  let content: Uint8Array;
  try {
    content = await readBody(response, JSON_LIMIT);
  } catch (error) {
    options.signal?.throwIfAborted();
    const [what, advice] =
      error instanceof UnreadableError
        ? ["cannot be read", "copy the package again"]
        : ["broke off", "try again"];
    throw new PackageError(`${address} ${what} (${reason(error)}); ${advice}`, { cause: error });
  }
  return parseManifest(content, address);
}

/**
 * Download what `manifest` says a runtime needs from `url`; sizes and hashes are compared. Which
 * files have weights is in the graph: those of the usual names come with it, others after it.
 */
export async function fetchPackage(
  url: string | URL,
  manifest: Manifest,
  options: DownloadOptions = {},
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
  let total = 0;
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
  const download = async (name: string): Promise<[string, Uint8Array<ArrayBuffer>]> => {
    const content = await fetchFile(folder, name, files.get(name)!, options, signal, (bytes) => {
      loaded += bytes;
      options.onProgress?.({ file: name, loaded, total });
    });
    if (verify) await checkHash(fileUrl(folder, name), content, files.get(name)!);
    return [name, content];
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
  try {
    const usual = [...files.keys()].filter(
      (name) => name.startsWith(main) || Object.hasOwn(small, name),
    );
    const contents = new Map(await Promise.all(want(usual).map(download)));
    const graph = contents.get(main)!;
    const found = graphFile(graph, manifest, graphUrl);
    const others = await Promise.all(want([...found.locations]).map(download));
    for (const [name, content] of others) contents.set(name, content);
    const defaults = contents.get(GENERATION_CONFIG);
    return {
      url: folder,
      manifest,
      graph,
      positions: found.positions,
      weights: new Map([...found.locations].map((name) => [name, contents.get(name)!])),
      tokenizer: tokenizer === null ? null : contents.get(tokenizer)!,
      defaults: defaults
        ? parseGenerationConfig(defaults, fileUrl(folder, GENERATION_CONFIG))
        : DEFAULTS,
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

async function fetchFile(
  folder: string,
  name: string,
  record: FileRecord,
  options: DownloadOptions,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const url = fileUrl(folder, name);
  const response = await get(url, options, signal);
  if (response.status === 404) {
    throw new PackageError(`${url} is missing (HTTP 404); copy or export the package again`);
  }
  requireOk(response, url);
  const wrongSize = (size: string) =>
    new PackageError(
      `${url} has ${size} bytes, the manifest says ${record.bytes}; ` +
        "copy or export the package again",
    );
  let content: Uint8Array<ArrayBuffer>;
  try {
    content = new Uint8Array(record.bytes);
  } catch (error) {
    throw new PackageError(
      `${url} has ${record.bytes} bytes, more than this browser allocates at once; ` +
        "export a smaller recipe",
      { cause: error },
    );
  }
  let size = 0;
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const chunk = await reader?.read();
      if (!chunk || chunk.done) break;
      if (size + chunk.value.length > record.bytes) {
        await reader?.cancel();
        throw wrongSize(`more than ${record.bytes}`);
      }
      content.set(chunk.value, size);
      size += chunk.value.length;
      onBytes(chunk.value.length);
    }
  } catch (error) {
    if (error instanceof PackageError) throw error;
    signal.throwIfAborted();
    throw new PackageError(
      `${url} broke off after ${size} of ${record.bytes} bytes (${reason(error)}); try again`,
      { cause: error },
    );
  }
  if (size !== record.bytes) throw wrongSize(String(size));
  return content;
}

async function checkHash(
  url: string,
  content: Uint8Array<ArrayBuffer>,
  record: FileRecord,
): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const actual = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (actual !== record.sha256) {
    throw new PackageError(
      `${url} is damaged: its SHA-256 is ${actual.slice(0, 12)}…, the manifest says ` +
        `${record.sha256.slice(0, 12)}…; copy or export the package again`,
    );
  }
}

async function get(url: string, options: DownloadOptions, signal?: AbortSignal): Promise<Response> {
  const request = options.fetch ?? ((address, init) => globalThis.fetch(address, init));
  const init = { signal: signal ?? new AbortController().signal };
  try {
    return await request(url, init).catch((error: { cause?: { code?: string } }) => {
      if (init.signal.aborted || !STALE.includes(error?.cause?.code ?? "")) throw error;
      return request(url, init);
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new PackageError(
      `${url} cannot be reached (${reason(error)}); is the address right, and if it is another ` +
        "site, does that allow this one (CORS)?",
      { cause: error },
    );
  }
}

function requireOk(response: Response, url: string): void {
  if (!response.ok) {
    throw new PackageError(`${url}: the server answered HTTP ${response.status}; try again later`);
  }
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
