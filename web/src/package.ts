/** Downloading a package: what its manifest says against what the server sends. */

import { PackageError, firstLine } from "./errors.js";
import { MANIFEST_FILE, parseManifest, type FileRecord, type Manifest } from "./manifest.js";

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
  /** External weights: the files whose names begin with the graph's. */
  readonly weights: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly tokenizer: Uint8Array<ArrayBuffer> | null;
}

/** Read the manifest of the package at `url`, a folder, and nothing else. */
export async function fetchManifest(
  url: string | URL,
  options: DownloadOptions = {},
): Promise<Manifest> {
  const folder = folderUrl(url);
  const response = await get(fileUrl(folder, MANIFEST_FILE), options, options.signal);
  if (response.status === 404) {
    throw new PackageError(
      `${folder} has no ${MANIFEST_FILE} (HTTP 404); is it a package that gpt2-edge export wrote?`,
    );
  }
  requireOk(response, fileUrl(folder, MANIFEST_FILE));
  const manifest = parseManifest(await response.text(), fileUrl(folder, MANIFEST_FILE));
  const outside = [...manifest.files.keys()].find((name) => /[\\/]|^\.{0,2}$/.test(name));
  if (outside !== undefined) {
    throw new PackageError(
      `${folder}: the manifest lists ${JSON.stringify(outside)}, which is outside the package`,
    );
  }
  for (const needed of [manifest.graph.file, manifest.tokenizer]) {
    if (needed !== null && !manifest.files.has(needed)) {
      throw new PackageError(`${folder}: the manifest uses ${needed} but does not list it`);
    }
  }
  return manifest;
}

/** Download what `manifest` says a runtime needs from `url`; sizes and hashes are compared. */
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
  const { graph, tokenizer, files } = manifest;
  const names = [...files.keys()].filter(
    (name) => name.startsWith(graph.file) || name === tokenizer,
  );
  const total = names.reduce((sum, name) => sum + files.get(name)!.bytes, 0);
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
  let contents: Map<string, Uint8Array<ArrayBuffer>>;
  try {
    contents = new Map(await Promise.all(names.map(download)));
  } catch (error) {
    failed.abort();
    throw error;
  }
  return {
    url: folder,
    manifest,
    graph: contents.get(graph.file)!,
    weights: new Map([...contents].filter(([name]) => name !== graph.file && name !== tokenizer)),
    tokenizer: tokenizer === null ? null : contents.get(tokenizer)!,
  };
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
  } catch {
    throw new PackageError(
      `${url} has ${record.bytes} bytes, more than this browser allocates at once; ` +
        "export a smaller recipe",
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
      `${url} broke off after ${size} of ${record.bytes} bytes (${firstLine(error)}); try again`,
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
  try {
    return await request(url, { signal: signal ?? new AbortController().signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new PackageError(
      `${url} cannot be reached (${firstLine(error)}); is the address right, and if it is another ` +
        "site, does that allow this one (CORS)?",
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
  } catch {
    throw new PackageError(`${JSON.stringify(String(url))} is no URL of a package folder`);
  }
}

function fileUrl(folder: string, name: string): string {
  const url = new URL(folder); // keeps a query, such as a signature
  url.pathname += encodeURIComponent(name);
  return url.href;
}
