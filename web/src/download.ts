/** Getting a file: from where it is kept or from the network, as long as it is to be, and checked. */

import { PackageError } from "./errors.js";
import { fetchLocal } from "./local-files.js";
import type { BegunFile, FileStore } from "./kept-files.js";
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
  fetch?: (
    url: string,
    init: { signal: AbortSignal; headers?: Record<string, string> },
  ) => Promise<Response>;
}

/** A file that is wanted. */
export interface RemoteFile {
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Other bytes than the manifest says. */
class Damaged extends PackageError {}

/** The network or the server is not there, or went away: a file that is kept may stand in. */
export class Unreachable extends PackageError {}

const PARTIAL = 206; // HTTP's answer to a range
// Node's fetch took a connection that the server had closed; browsers try again by themselves.
const STALE = ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"];

/**
 * The content of `file`, its hash compared; `onBytes` is told what came. What is kept is taken where
 * its hash is right, and what comes is kept: also what came of a file that broke off.
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
      const whole = { content: allocated(file), size: 0 };
      await readInto(whole, kept, file, signal, () => undefined);
      await checkHash(whole.content, file);
      onBytes(whole.size);
      return whole.content;
    } catch (error) {
      signal.throwIfAborted();
      // Where there was no memory, or storage broke off, it may still be right.
      if (error instanceof Damaged) await keep?.delete(file.sha256);
    }
  }
  const resumed = keep?.begun.get(file.sha256);
  try {
    return await download(file, options, signal, onBytes);
  } catch (error) {
    // A part that was no part of this file would spoil every further try.
    if (!resumed || !(error instanceof Damaged)) throw error;
    return download(file, options, signal, () => undefined);
  }
}

/** From the network, behind what came of it before it broke off. */
async function download(
  file: RemoteFile,
  options: DownloadOptions,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const { keep } = options;
  const begun = keep?.begun.get(file.sha256) ?? { content: allocated(file), size: 0 };
  keep?.begun.delete(file.sha256); // nobody else writes into it
  const checks = options.verify ?? true;
  try {
    const response = await get(file.url, options, signal, begun.size);
    if (response.status === 404) {
      throw new PackageError(`${file.url} is missing (HTTP 404); copy or export the package again`);
    }
    requireOk(response, file.url);
    if (response.status !== PARTIAL) begun.size = 0;
    if (begun.size > 0) onBytes(begun.size);
    await readInto(begun, response, file, signal, onBytes);
    if (checks) await checkHash(begun.content, file);
  } catch (error) {
    const goesOn = begun.size < file.bytes && !(error instanceof Damaged);
    if (goesOn) keep?.begun.set(file.sha256, begun);
    throw error;
  }
  if (checks) await keep?.put(file.sha256, begun.content);
  return begun.content;
}

function allocated(file: RemoteFile): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(file.bytes);
  } catch (error) {
    throw new PackageError(
      `${file.url} has ${file.bytes} bytes, more than this browser allocates at once; ` +
        "export a smaller recipe",
      { cause: error },
    );
  }
}

/** Reads `response` behind what `begun` has, up to the file's end. */
async function readInto(
  begun: BegunFile,
  response: Response,
  file: RemoteFile,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const wrongSize = (size: string) =>
    new Damaged(
      `${file.url} has ${size} bytes, the manifest says ${file.bytes}; ` +
        "copy or export the package again",
    );
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const chunk = await reader?.read();
      if (!chunk || chunk.done) break;
      if (begun.size + chunk.value.length > file.bytes) {
        await reader?.cancel();
        throw wrongSize(`more than ${file.bytes}`);
      }
      begun.content.set(chunk.value, begun.size);
      begun.size += chunk.value.length;
      onBytes(chunk.value.length);
    }
  } catch (error) {
    if (error instanceof PackageError) throw error;
    signal.throwIfAborted();
    throw new PackageError(
      `${file.url} broke off after ${begun.size} of ${file.bytes} bytes (${reason(error)}); ` +
        "try again",
      { cause: error },
    );
  }
  if (begun.size !== file.bytes) throw wrongSize(String(begun.size));
}

async function checkHash(content: Uint8Array<ArrayBuffer>, file: RemoteFile): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const actual = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (actual !== file.sha256) {
    throw new Damaged(
      `${file.url} is damaged: its SHA-256 is ${actual.slice(0, 12)}…, the manifest says ` +
        `${file.sha256.slice(0, 12)}…; copy or export the package again`,
    );
  }
}

/** What the server at `url` answers, `from` a byte of it on; Unreachable where it cannot be reached. */
export async function get(
  url: string,
  options: DownloadOptions,
  signal?: AbortSignal,
  from = 0,
): Promise<Response> {
  const request =
    options.fetch ?? ((address, init) => fetchLocal(address) ?? globalThis.fetch(address, init));
  const init = {
    signal: signal ?? new AbortController().signal,
    ...(from > 0 && { headers: { range: `bytes=${from}-` } }),
  };
  try {
    return await request(url, init).catch((error: { cause?: { code?: string } }) => {
      if (init.signal.aborted || !STALE.includes(error?.cause?.code ?? "")) throw error;
      return request(url, init);
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof PackageError) throw error; // a chosen package lacks it: no address is wrong
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
