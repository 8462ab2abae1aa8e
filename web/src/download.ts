/** Getting a file: from where it is kept or from the network, as long as it is to be, and checked. */

import { PackageError } from "./errors.js";
import type { FileStore } from "./kept-files.js";
import { reason } from "./untrusted.js";

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
  /** Where files are kept for the next visit; by default nowhere. */
  keep?: FileStore;
  /** In place of the global fetch: for headers, caches, other sources. */
  fetch?: (url: string, init: { signal: AbortSignal }) => Promise<Response>;
}

/** A file that is wanted. */
export interface RemoteFile {
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** The network or the server is not there, or went away: a file that is kept may stand in. */
export class Unreachable extends PackageError {}

// Node's fetch took a connection that the server had closed; browsers try again by themselves.
const STALE = ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"];

/**
 * The content of `file`, its hash compared; `onBytes` is told what came. What is kept is taken where
 * its hash is right, and what comes is kept.
 */
export async function fetchFile(
  file: RemoteFile,
  options: DownloadOptions,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const { keep } = options;
  const kept = await keep?.get(file.sha256);
  if (kept) {
    try {
      const content = await readFile(kept, file, signal, () => undefined);
      await checkHash(content, file);
      onBytes(content.length);
      return content;
    } catch {
      signal.throwIfAborted();
      await keep?.delete(file.sha256);
    }
  }
  const response = await get(file.url, options, signal);
  if (response.status === 404) {
    throw new PackageError(`${file.url} is missing (HTTP 404); copy or export the package again`);
  }
  requireOk(response, file.url);
  const content = await readFile(response, file, signal, onBytes);
  if (options.verify ?? true) {
    await checkHash(content, file);
    await keep?.put(file.sha256, content);
  }
  return content;
}

async function readFile(
  response: Response,
  file: RemoteFile,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const wrongSize = (size: string) =>
    new PackageError(
      `${file.url} has ${size} bytes, the manifest says ${file.bytes}; ` +
        "copy or export the package again",
    );
  let content: Uint8Array<ArrayBuffer>;
  try {
    content = new Uint8Array(file.bytes);
  } catch (error) {
    throw new PackageError(
      `${file.url} has ${file.bytes} bytes, more than this browser allocates at once; ` +
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
      if (size + chunk.value.length > file.bytes) {
        await reader?.cancel();
        throw wrongSize(`more than ${file.bytes}`);
      }
      content.set(chunk.value, size);
      size += chunk.value.length;
      onBytes(chunk.value.length);
    }
  } catch (error) {
    if (error instanceof PackageError) throw error;
    signal.throwIfAborted();
    throw new PackageError(
      `${file.url} broke off after ${size} of ${file.bytes} bytes (${reason(error)}); try again`,
      { cause: error },
    );
  }
  if (size !== file.bytes) throw wrongSize(String(size));
  return content;
}

async function checkHash(content: Uint8Array<ArrayBuffer>, file: RemoteFile): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const actual = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (actual !== file.sha256) {
    throw new PackageError(
      `${file.url} is damaged: its SHA-256 is ${actual.slice(0, 12)}…, the manifest says ` +
        `${file.sha256.slice(0, 12)}…; copy or export the package again`,
    );
  }
}

/** What the server at `url` answers; PackageError where it cannot be reached. */
export async function get(
  url: string,
  options: DownloadOptions,
  signal?: AbortSignal,
): Promise<Response> {
  const request = options.fetch ?? ((address, init) => globalThis.fetch(address, init));
  const init = { signal: signal ?? new AbortController().signal };
  try {
    return await request(url, init).catch((error: { cause?: { code?: string } }) => {
      if (init.signal.aborted || !STALE.includes(error?.cause?.code ?? "")) throw error;
      return request(url, init);
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Unreachable(
      `${url} cannot be reached (${reason(error)}); is the address right, and if it is another ` +
        "site, does that allow this one (CORS)?",
      { cause: error },
    );
  }
}

/** PackageError for an answer that is none. */
export function requireOk(response: Response, url: string): void {
  if (!response.ok) {
    throw new PackageError(`${url}: the server answered HTTP ${response.status}; try again later`);
  }
}
