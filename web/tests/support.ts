/** What several tests need: the packages that make_packages.py wrote, served on localhost. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

import { Generator, type GPT2EdgeError, type LoadOptions, type Provider } from "../src/index.js";
import { serve, type Served } from "../scripts/static-server.js";

export const WEB = fileURLToPath(new URL("../..", import.meta.url));
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const PACKAGES = `${WEB}build/packages/`;

export interface TextCase {
  readonly prompt: string;
  readonly ids: number[];
  readonly text: string;
  /** How clear the least clear decision was in Python. */
  readonly margin: number;
  /** The largest logits before every token, [id, logit]. */
  readonly logits?: [number, number][][];
  readonly config?: { seed: number; topK: number; temperature: number; topP: number };
}

export interface PackageCase {
  readonly greedy: TextCase;
  readonly score: {
    readonly prompt: string;
    readonly tokens: { id: number; text: string; logprob: number | null; rank: number | null }[];
    readonly alternatives: [id: number, logprob: number][][];
  };
  readonly attention?: { readonly prompt: string; readonly weights: number[] };
  readonly sampled?: TextCase;
  readonly next: {
    readonly prompt: string;
    readonly tokens: { id: number; text: string; probability: number }[];
  };
}

export interface Expected {
  readonly packages: Readonly<Record<string, PackageCase>>;
  readonly slide: {
    readonly prompt: number[];
    readonly ids: number[];
    readonly kept: { readonly prompt: number[]; readonly keep: number; readonly ids: number[] };
  };
  readonly seeds: { readonly seed: number; readonly seeds: number[] }[];
  readonly tokenizer: { text: string | null; ids: number[]; decoded: string }[];
}

export function readExpected(): Expected {
  const file = `${PACKAGES}expected.json`;
  assert.ok(existsSync(file), `${file} is missing; run web/test.sh, or tests/make_packages.py`);
  return JSON.parse(readFileSync(file, "utf8")) as Expected;
}

/** What spec/`name`.json promises. */
export function spec<T>(name: string): T {
  return JSON.parse(readFileSync(`${ROOT}spec/${name}.json`, "utf8")) as T;
}

/** The packages, served while the tests of a file run; each is loaded once, with `provider`. */
export function loading(provider: Provider = "wasm"): {
  load(name: string): Promise<Generator>;
  packageUrl(name: string): string;
} {
  let served: Served;
  const loaded = new Map<string, Promise<Generator>>();
  before(async () => {
    served = await serveAll();
  });
  after(() => served.close());
  const packageUrl = (name: string): string => `${served.url}/packages/${name}`;
  const load = (name: string): Promise<Generator> => {
    const known = loaded.get(name) ?? Generator.load(packageUrl(name), { provider, threads: 1 });
    loaded.set(name, known);
    return known;
  };
  return { load, packageUrl };
}

/** The repository's web folder at /, the packages at /packages/. */
export function serveAll(): Promise<Served> {
  return serve({ "/": WEB, "/packages/": PACKAGES });
}

/** Where packages in memory are. */
export const MEMORY = "https://memory.test/package/";

/** What a package in memory is loaded with; `asked` collects the names of files that were asked. */
export interface Memory {
  readonly options: LoadOptions;
  readonly asked: string[];
}

/**
 * The package `name` of make_packages.py from memory, at MEMORY: no server and no network. `change`
 * gets its manifest; `files` stand in place of its own, with their sizes and hashes in the manifest.
 */
export function inMemory(
  name: string,
  change: (manifest: any) => void = () => {},
  files: Readonly<Record<string, Uint8Array | string>> = {},
): Memory {
  const folder = `${PACKAGES}${name}/`;
  const manifest = JSON.parse(readFileSync(`${folder}manifest.json`, "utf8"));
  const contents = new Map<string, Uint8Array>();
  for (const [file, content] of Object.entries(files)) {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    contents.set(file, bytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    if (file !== "manifest.json") manifest.files[file] = { bytes: bytes.length, sha256 };
  }
  change(manifest);
  if (!contents.has("manifest.json")) {
    contents.set("manifest.json", new TextEncoder().encode(JSON.stringify(manifest)));
  }
  const asked: string[] = [];
  const fetch = async (url: string): Promise<Response> => {
    const file = decodeURIComponent(url.slice(MEMORY.length));
    asked.push(file);
    const path = `${folder}${file}`;
    const content = contents.get(file) ?? (existsSync(path) ? readFileSync(path) : undefined);
    // A copy: tests change what they get.
    return content ? new Response(content.slice()) : new Response("", { status: 404 });
  };
  return { options: { fetch, threads: 1, provider: "wasm" }, asked };
}

/** Asserts that `error` is of `kind`, in one printable line of bounded length. */
export function assertOneLine(
  error: unknown,
  kind: abstract new (...args: never[]) => GPT2EdgeError,
  message: RegExp,
): true {
  assert.ok(error instanceof kind, `${error}`);
  assert.match(error.message, message);
  assert.ok(error.message.length <= 1000, `${error.message.length} characters`);
  assert.doesNotMatch(error.message, /(?! )[\p{C}\p{Z}]/u);
  return true;
}
