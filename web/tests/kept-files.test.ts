/** Files that are kept: a second load without a network, a broken one that goes on, damage. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { chosenPackage, Generator, keptFiles, PackageError, type FileStore } from "../src/index.js";
import { assertOneLine, inMemory, MEMORY, PACKAGES } from "./support.js";

/** A store like the browser's, in memory. */
class MemoryStore implements FileStore {
  readonly begun: FileStore["begun"] = new Map();
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly manifests = new Map<string, Uint8Array>();

  async get(sha256: string): Promise<Response | null> {
    const content = this.files.get(sha256);
    return content ? new Response(content.slice()) : null;
  }
  async put(sha256: string, content: Uint8Array<ArrayBuffer>): Promise<void> {
    this.files.set(sha256, content.slice());
  }
  async delete(sha256: string): Promise<void> {
    this.files.delete(sha256);
  }
  async manifest(url: string): Promise<Uint8Array | null> {
    return this.manifests.get(url) ?? null;
  }
  async loaded(url: string, manifest: Uint8Array): Promise<void> {
    this.manifests.set(url, manifest);
  }
}

const offline = async (): Promise<Response> => {
  throw new TypeError("no network");
};

test("a second load needs no network, and damage in what is kept is mended", async () => {
  const { options, asked } = inMemory("int4");
  const keep = new MemoryStore();
  const first = await Generator.load(MEMORY, { ...options, keep });
  const { ids } = await first.generate("The man", { maxNewTokens: 3 });
  await first.dispose();
  const again = await Generator.load(MEMORY, { ...options, keep, fetch: offline });
  assert.deepEqual((await again.generate("The man", { maxNewTokens: 3 })).ids, ids);
  assert.ok((await again.attention("The man")).weights.length > 0); // needs the package once more
  await again.dispose();

  for (const [hash, content] of keep.files) {
    content[0]! ^= 1;
    assert.notEqual(createHash("sha256").update(content).digest("hex"), hash);
  }
  await assert.rejects(Generator.load(MEMORY, { ...options, keep, fetch: offline }), (error) =>
    assertOneLine(error, PackageError, /cannot be reached \(no network\)/),
  );
  asked.length = 0;
  await (await Generator.load(MEMORY, { ...options, keep })).dispose();
  assert.ok(asked.includes("model.onnx"));
  for (const [hash, content] of keep.files) {
    assert.equal(createHash("sha256").update(content).digest("hex"), hash);
  }
});

test("what is kept stays where it could not be read this once", async () => {
  const { options, asked } = inMemory("int4");
  const keep = new MemoryStore();
  await (await Generator.load(MEMORY, { ...options, keep })).dispose();
  const kept = new Set(keep.files.keys());
  const deleted: string[] = [];
  keep.delete = async (sha256) => void deleted.push(sha256);
  keep.get = async (sha256) => new Response(breakingOff(keep.files.get(sha256)!.slice(0, 10)));
  asked.length = 0;
  await (await Generator.load(MEMORY, { ...options, keep })).dispose();
  assert.ok(asked.includes("model.onnx"));
  assert.deepEqual(deleted, []);
  assert.deepEqual(new Set(keep.files.keys()), kept);
});

test("what broke off of another package is forgotten when a load starts", async () => {
  const { options } = inMemory("int4");
  const keep = new MemoryStore();
  keep.begun.set("0".repeat(64), { content: new Uint8Array(9), size: 5 });
  const fetch: typeof options.fetch = async (url, init) => {
    if (url.endsWith("manifest.json")) return options.fetch!(url, init);
    assert.equal(keep.begun.size, 0);
    return new Response("", { status: 503 });
  };
  await assert.rejects(Generator.load(MEMORY, { ...options, keep, fetch }), /HTTP 503/);
});

/** Cache Storage with what is used of it, in place of a browser's. */
function fakeCaches(): { open(name: string): Promise<object> } {
  const entries = new Map<string, Response>();
  const cache = {
    match: async (key: string) => entries.get(key)?.clone(),
    put: async (key: string, response: Response) => void entries.set(key, response),
    delete: async (key: string) => entries.delete(key),
    keys: async () => [...entries.keys()].map((url) => ({ url })),
  };
  return { open: async () => cache };
}

test("of the packages that were loaded, the last three stay", async (context) => {
  let now = 1000;
  context.mock.method(Date, "now", () => now++);
  Object.assign(globalThis, { caches: fakeCaches() });
  context.after(() => Reflect.deleteProperty(globalThis, "caches"));
  const store = keptFiles()!;
  const manifest = (...hashes: string[]) =>
    new TextEncoder().encode(
      JSON.stringify({ files: Object.fromEntries(hashes.map((sha256) => [sha256, { sha256 }])) }),
    );
  const load = async (name: string) => {
    for (const hash of [name, "shared", "runtime"]) await store.put(hash, new Uint8Array(3));
    const url = `https://example.org/${name}/manifest.json`;
    await store.loaded(url, manifest(name, "shared"), ["runtime"]);
  };
  const stays = async (names: readonly string[]) => {
    const found = await Promise.all(names.map(async (name) => (await store.get(name)) !== null));
    return names.filter((_, at) => found[at]);
  };
  for (const name of ["a", "b", "c"]) await load(name);
  const all = ["a", "b", "c", "shared", "runtime"];
  assert.deepEqual(await stays(all), all);
  await load("a"); // is the latest again
  await load("d");
  assert.deepEqual(await stays(["a", "b", "c", "d", "shared"]), ["a", "c", "d", "shared"]);
  assert.equal(await store.manifest("https://example.org/b/manifest.json"), null);
  assert.deepEqual(
    await store.manifest("https://example.org/c/manifest.json"),
    manifest("c", "shared"),
  );
});

test("a package that is gone is not taken from what is kept", async () => {
  const { options } = inMemory("int4");
  const keep = new MemoryStore();
  await (await Generator.load(MEMORY, { ...options, keep })).dispose();
  const fetch = async (): Promise<Response> => new Response("", { status: 404 });
  await assert.rejects(Generator.load(MEMORY, { ...options, keep, fetch }), /no manifest\.json/);
});

for (const ranges of [true, false]) {
  test(`a download that broke off goes on, ${ranges ? "where" : "though"} the server has ${ranges ? "" : "no "}ranges`, async () => {
    const { options } = inMemory("int4");
    const keep = new MemoryStore();
    let broken = true;
    const sent: number[] = [];
    const fetch: typeof options.fetch = async (url, init) => {
      const whole = await options.fetch!(url, init);
      if (!url.endsWith("model.onnx")) return whole;
      const content = new Uint8Array(await whole.arrayBuffer());
      const asked = Number(/^bytes=(\d+)-$/.exec(init.headers?.["range"] ?? "")?.[1] ?? 0);
      const from = ranges ? asked : 0;
      sent.push(from);
      const part = broken ? content.subarray(from, from + 1_000_000) : content.subarray(from);
      const status = from > 0 ? 206 : 200;
      return new Response(broken ? breakingOff(part) : part, { status });
    };
    await assert.rejects(
      Generator.load(MEMORY, { ...options, keep, fetch }),
      /model\.onnx broke off after 1000000 of \d+ bytes \(gone\); try again/,
    );
    broken = false;
    const loads: number[] = [];
    const generator = await Generator.load(MEMORY, {
      ...options,
      keep,
      fetch,
      onProgress: ({ loaded, total }) => loads.push(loaded / total),
    });
    await generator.dispose();
    assert.equal(sent.at(-1), ranges ? 1_000_000 : 0);
    assert.equal(loads.at(-1), 1);
    assert.equal(keep.begun.size, 0);
  });
}

/** A body that fails behind `part`, as a connection does. */
function breakingOff(part: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  let sent = false;
  return new ReadableStream({
    pull(controller) {
      if (sent) controller.error(new Error("gone"));
      else controller.enqueue(part);
      sent = true;
    },
  });
}

test("a part of another file is thrown away, and the file read from its beginning", async () => {
  const { options } = inMemory("int4");
  const keep = new MemoryStore();
  const manifest = JSON.parse(readFileSync(`${PACKAGES}int4/manifest.json`, "utf8"));
  const { bytes, sha256 } = manifest.files["model.onnx"];
  keep.begun.set(sha256, { content: new Uint8Array(bytes), size: 500 });
  const fetch: typeof options.fetch = async (url, init) => {
    const response = await options.fetch!(url, init);
    const from = Number(/^bytes=(\d+)-$/.exec(init.headers?.["range"] ?? "")?.[1] ?? 0);
    if (from === 0) return response;
    return new Response((await response.arrayBuffer()).slice(from), { status: 206 });
  };
  await (await Generator.load(MEMORY, { ...options, keep, fetch })).dispose();
  assert.ok(keep.files.has(sha256));
});

test("a package from disk is the folder with the manifest nearest to the top", async () => {
  const files = readdirSync(`${PACKAGES}int4`).map((name) => {
    const file = new File([readFileSync(`${PACKAGES}int4/${name}`)], name);
    Object.defineProperty(file, "webkitRelativePath", { value: `models/int4/${name}` });
    return file;
  });
  const inner = new File(["{}"], "manifest.json");
  Object.defineProperty(inner, "webkitRelativePath", { value: "models/int4/old/manifest.json" });
  const { url, fetch } = chosenPackage([inner, ...files]);
  assert.match(url, /\/int4\/$/);
  const generator = await Generator.load(url, { fetch, threads: 1 });
  assert.deepEqual(await generator.selfTest(), []);
  await generator.dispose();
  await assert.rejects(fetch(`${url}other.bin`), /"other\.bin" is not among the files/);
  assert.throws(
    () => chosenPackage([new File([""], "a.txt")]),
    (error) => assertOneLine(error, PackageError, /^there is no manifest\.json among the 1 files/),
  );
});
