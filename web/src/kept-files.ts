/**
 * Files that stay between visits, in the browser's Cache Storage: by their hash, so that a file of
 * two packages or two addresses is there once; and manifests by their address.
 */

import { isObject, JSON_LIMIT, parseJson, readBody } from "./untrusted.js";

/** What came of a file: the first `size` bytes of `content`. */
export interface BegunFile {
  readonly content: Uint8Array<ArrayBuffer>;
  size: number;
}

/** Where downloads are kept. What fails here must not fail a download: it then is not kept. */
export interface FileStore {
  /** Files that broke off, by their hash: the next try goes on behind them. In memory only. */
  readonly begun: Map<string, BegunFile>;
  /** The file of this hash; null where it is not kept. */
  get(sha256: string): Promise<Response | null>;
  put(sha256: string, content: Uint8Array<ArrayBuffer>): Promise<void>;
  delete(sha256: string): Promise<void>;
  /** The manifest that was read from `url` when its package was loaded last. */
  manifest(url: string): Promise<Uint8Array | null>;
  /**
   * A package was loaded: keep its manifest and a few before it, and of all files only those that
   * one of them lists, or `others`.
   */
  loaded(url: string, manifest: Uint8Array, others: readonly string[]): Promise<void>;
}

const FILES = "sha256/";
const MANIFESTS = "manifest/";
/** So many packages stay, of those that were loaded last. */
const MOST_PACKAGES = 3;
const KEPT_AT = "kept-at"; // a header of kept manifests: milliseconds

/** Files in the Cache Storage named `name`; null where there is none, as on http: pages. */
export function keptFiles(name = "gpt2-edge-packages"): FileStore | null {
  return "caches" in globalThis ? new CacheStore(name) : null;
}

class CacheStore implements FileStore {
  readonly begun = new Map<string, BegunFile>();
  // Addresses that nothing else asks for: they are names only.
  readonly #base = "https://kept.gpt2-edge.invalid/";

  constructor(private readonly name: string) {}

  async get(sha256: string): Promise<Response | null> {
    return (await this.#cache((cache) => cache.match(this.#file(sha256)))) ?? null;
  }

  async put(sha256: string, content: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#cache((cache) => cache.put(this.#file(sha256), new Response(content)));
  }

  async delete(sha256: string): Promise<void> {
    await this.#cache((cache) => cache.delete(this.#file(sha256)));
  }

  async manifest(url: string): Promise<Uint8Array | null> {
    const response = await this.#cache((cache) => cache.match(this.#manifest(url)));
    return response ? readBody(response, JSON_LIMIT).catch(() => null) : null;
  }

  async loaded(url: string, manifest: Uint8Array, others: readonly string[]): Promise<void> {
    await this.#cache(async (cache) => {
      this.begun.clear(); // of packages that nobody loaded to the end
      const address = this.#manifest(url);
      const headers = { [KEPT_AT]: String(Date.now()) };
      await cache.put(address, new Response(Uint8Array.from(manifest), { headers }));
      const keys = (await cache.keys()).map((request) => request.url);
      const before: { key: string; at: number; hashes: readonly string[] }[] = [];
      for (const key of keys) {
        if (!key.startsWith(this.#base + MANIFESTS) || key === address) continue;
        const kept = await cache.match(key);
        const at = Number(kept?.headers.get(KEPT_AT) ?? 0);
        const content = kept && (await readBody(kept, JSON_LIMIT).catch(() => null));
        before.push({ key, at, hashes: content ? hashesOf(content) : [] });
      }
      before.sort((one, other) => other.at - one.at);
      const stay = before.slice(0, MOST_PACKAGES - 1).flatMap(({ hashes }) => hashes);
      for (const { key } of before.slice(MOST_PACKAGES - 1)) await cache.delete(key);
      const wanted = new Set([...others, ...hashesOf(manifest), ...stay]);
      for (const key of keys) {
        const [, hash] = key.split(this.#base + FILES);
        if (hash !== undefined && !wanted.has(hash)) await cache.delete(key);
      }
    });
  }

  /** Full, forbidden or broken storage is as none. */
  async #cache<T>(use: (cache: Cache) => Promise<T>): Promise<T | undefined> {
    try {
      return await use(await caches.open(this.name));
    } catch {
      return undefined;
    }
  }

  #file(sha256: string): string {
    return `${this.#base}${FILES}${sha256}`;
  }

  #manifest(url: string): string {
    return `${this.#base}${MANIFESTS}${encodeURIComponent(url)}`;
  }
}

/** The hashes of the files that a manifest lists; none of one that is damaged. */
function hashesOf(manifest: Uint8Array): string[] {
  let raw: unknown;
  try {
    raw = parseJson(manifest);
  } catch {
    return [];
  }
  const files = isObject(raw) && isObject(raw["files"]) ? Object.values(raw["files"]) : [];
  return files.map((file) => (isObject(file) ? String(file["sha256"]) : ""));
}
