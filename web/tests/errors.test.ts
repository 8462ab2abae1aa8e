/** What is wrong with a package, a server or a prompt is said in one line. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  ContextOverflowError,
  GenerationError,
  Generator,
  GPT2EdgeError,
  PackageError,
  ProviderError,
  type LoadOptions,
} from "../src/index.js";
import type { Served } from "../scripts/static-server.js";
import { assertOneLine, inMemory, MEMORY, serveAll } from "./support.js";

let served: Served;
let good: Generator;
before(async () => {
  served = await serveAll();
  good = await Generator.load(`${served.url}/packages/int4`, { threads: 1 });
});
after(async () => {
  await good.dispose();
  await served.close();
});

/** fetch, with the answer for the file `name` replaced. */
function replacing(
  name: string,
  replace: (answer: Response) => Response | Promise<Response>,
): LoadOptions {
  return {
    threads: 1,
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      return url.endsWith(`/${name}`) ? replace(answer) : answer;
    },
  };
}

/** The manifest with `change` made to it. */
function withManifest(change: (manifest: any) => void): LoadOptions {
  return replacing("manifest.json", async (answer) => {
    const manifest = await answer.json();
    change(manifest);
    return Response.json(manifest);
  });
}

function withBytes(
  name: string,
  change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>,
) {
  return replacing(
    name,
    async (answer) => new Response(change(new Uint8Array(await answer.arrayBuffer()))),
  );
}

const status = (code: number) => () => new Response("", { status: code });

type Kind = abstract new (...args: never[]) => GPT2EdgeError;
type Case = [what: string, options: LoadOptions, kind: Kind, message: RegExp, folder?: string];

const CASES: Case[] = [
  [
    "no manifest",
    {},
    PackageError,
    /\/packages\/nothing\/ has no manifest.json \(HTTP 404\); is it/,
    "nothing",
  ],
  [
    "a page instead of the manifest",
    replacing("manifest.json", () => new Response("<html>")),
    PackageError,
    /manifest.json cannot be read as JSON/,
  ],
  [
    "a server error",
    replacing("manifest.json", status(503)),
    PackageError,
    /manifest.json: the server answered HTTP 503/,
  ],
  [
    "a manifest without version",
    withManifest((m) => delete m.format_version),
    PackageError,
    /has no format_version/,
  ],
  [
    "a newer format",
    withManifest((m) => (m.format_version = 2)),
    PackageError,
    /has format version 2; this runtime reads up to 1: upgrade/,
  ],
  [
    "a damaged manifest",
    withManifest((m) => (m.architecture.num_heads = "4")),
    PackageError,
    /is damaged \(manifest.architecture.num_heads is "4", not a whole number from 1 to 10000\)/,
  ],
  [
    "a manifest that lacks a key",
    withManifest((m) => delete m.graph.names.logits),
    PackageError,
    /\(manifest.graph.names.logits is missing\)/,
  ],
  [
    "a file outside",
    withManifest((m) => (m.files["../x"] = { bytes: 1, sha256: "" })),
    PackageError,
    /files list "..\/x", which is not the name of a file in the package's folder/,
  ],
  [
    "a file not listed",
    withManifest((m) => delete m.files["tokenizer.json"]),
    PackageError,
    /uses "tokenizer.json" but does not list it/,
  ],
  [
    "a missing file",
    replacing("model.onnx", status(404)),
    PackageError,
    /model.onnx is missing \(HTTP 404\)/,
  ],
  [
    "a forbidden file",
    replacing("tokenizer.json", status(403)),
    PackageError,
    /tokenizer.json: the server answered HTTP 403/,
  ],
  [
    "a short file",
    withBytes("model.onnx", (b) => b.slice(0, -1)),
    PackageError,
    /model.onnx has \d+ bytes, the manifest says \d+/,
  ],
  [
    "a long file",
    withBytes("model.onnx", (b) => new Uint8Array([...b, 0])),
    PackageError,
    /model.onnx has more than \d+ bytes, the manifest says/,
  ],
  [
    "another byte",
    withBytes("model.onnx", (b) => b.fill(7, 1000, 1001)),
    PackageError,
    /model.onnx is damaged: its SHA-256 is [0-9a-f]{12}…, the manifest says/,
  ],
  [
    "a cache type nobody knows",
    withManifest((m) => (m.graph.cache_dtype = "int2")),
    PackageError,
    /graph.cache_dtype "int2"; this runtime knows float32, float16, int8/,
  ],
  [
    "another cache type than the graph's",
    withManifest((m) => (m.graph.cache_dtype = "int8")),
    PackageError,
    /has "past_key_values.0.key" as float32, the manifest says int8/,
  ],
  [
    "other sizes than the graph's",
    withManifest((m) => (m.architecture.head_size = 32)),
    PackageError,
    /has "past_key_values.0.key" as \["batch_size",4,"past",64\], the manifest says \[1,4,null,32\]: other heads or/,
  ],
  [
    "an input that the graph lacks",
    withManifest((m) => (m.graph.names.input_ids = "ids")),
    PackageError,
    /has no input "ids", which the manifest names/,
  ],
  [
    "an input that the manifest lacks",
    withManifest((m) => (m.graph.names.position_ids = null)),
    PackageError,
    /needs the input "position_ids"/,
  ],
  [
    "a newer ONNX Runtime",
    withManifest((m) => (m.graph.min_onnxruntime = "99.1")),
    PackageError,
    /needs ONNX Runtime 99.1 or later, this is onnxruntime-node 1\.\d+/,
  ],
  [
    "a flavour for phones",
    {},
    PackageError,
    /graph.flavour "static" with graph.cache "host".*export with --flavour fused or portable/,
    "static",
  ],
  ["no WebGPU", { provider: "webgpu" }, ProviderError, /provider webgpu is not there/],
  [
    "a cache that WebGPU does not run",
    { provider: "webgpu" },
    ProviderError,
    /webgpu does not run a cache of int8/,
    "cache-int8",
  ],
  [
    "a provider nobody knows",
    { provider: "cuda" as never },
    ProviderError,
    /provider "cuda" is not one of auto, wasm, webgpu, cpu/,
  ],
  ["threads that cannot be", { threads: 0 }, ProviderError, /threads is 0; it must be/],
  [
    "several threads in Node",
    { provider: "wasm", threads: 2 },
    ProviderError,
    /threads is 2, but onnxruntime-web\/wasm starts threads in browsers only; take 1/,
  ],
];

const isOneLine = (kind: Kind, message: RegExp) => (error: unknown) =>
  assertOneLine(error, kind, message);

for (const [what, options, kind, message, folder = "int4"] of CASES) {
  test(`load refuses ${what}`, async () => {
    const load = Generator.load(`${served.url}/packages/${folder}`, options);
    await assert.rejects(load, isOneLine(kind, message));
  });
}

test("load refuses what is no URL, and a server that is not there", async () => {
  await assert.rejects(Generator.load("int4"), isOneLine(PackageError, /^"int4" is no URL/));
  const nowhere = await serveAll();
  await nowhere.close();
  await assert.rejects(
    Generator.load(`${nowhere.url}/packages/int4`),
    isOneLine(PackageError, /cannot be reached \(.+\)/),
  );
});

test("a graph that ONNX Runtime refuses is one line", async () => {
  const graph = Uint8Array.of(0x08, 0x7f); // ir_version 127, and nothing else
  const { options } = inMemory("int4", () => {}, { "model.onnx": graph });
  await assert.rejects(
    Generator.load(MEMORY, options),
    isOneLine(PackageError, /model.onnx cannot be loaded by onnxruntime-web 1\.\S+ on wasm: /),
  );
});

test("a file that is no ONNX file is one line", async () => {
  const options = withBytes("model.onnx", (bytes) => bytes.fill(255, 0, 4096));
  await assert.rejects(
    Generator.load(`${served.url}/packages/int4`, { ...options, verify: false }),
    isOneLine(PackageError, /model.onnx is no graph that can be read: it is no whole ONNX file/),
  );
});

test("without verify, other bytes of the same length are taken", async () => {
  const options = withBytes("tokenizer.json", (bytes) => {
    const written = new TextDecoder().decode(bytes);
    const changed = written.replace(/"version": ?"1\.0"/, (found) => found.replace("1", "2"));
    assert.notEqual(changed, written);
    return new TextEncoder().encode(changed);
  });
  const url = `${served.url}/packages/int4`;
  await assert.rejects(
    Generator.load(url, options),
    isOneLine(PackageError, /tokenizer.json is damaged: its SHA-256 is/),
  );
  const generator = await Generator.load(url, { ...options, verify: false });
  await generator.dispose();
});

test("a download can be cancelled, and reports how far it is", async () => {
  const abort = new AbortController();
  let calls = 0;
  const load = Generator.load(`${served.url}/packages/fp32`, {
    signal: abort.signal,
    onProgress: ({ loaded, total }) => {
      calls++;
      assert.ok(loaded > 0 && loaded < total);
      abort.abort();
    },
  });
  await assert.rejects(load, { name: "AbortError" });
  assert.equal(calls, 1);
});

test("progress ends at the total", async () => {
  const seen: [number, number][] = [];
  const generator = await Generator.load(`${served.url}/packages/int4`, {
    onProgress: ({ loaded, total }) => seen.push([loaded, total]),
  });
  const { files } = generator.manifest;
  const read = ["model.onnx", "tokenizer.json", "generation_config.json"];
  const total = read.reduce((sum, name) => sum + files.get(name)!.bytes, 0);
  assert.deepEqual(seen.at(-1), [total, total]);
  await generator.dispose();
});

const PROMPTS: [string, () => unknown, Kind, RegExp][] = [
  [
    "an empty prompt",
    () => good.stream(""),
    GenerationError,
    /^the prompt is empty; give at least/,
  ],
  [
    "an id outside",
    () => good.stream([1, 8192]),
    GenerationError,
    /^token id 8192 is outside the vocabulary of 8192$/,
  ],
  ["half an id", () => good.stream([0.5]), GenerationError, /^token id 0.5 is no whole number$/],
  ["an id in digits", () => good.stream(["12" as never]), GenerationError, /^token id "12" is no/],
  ["no id", () => good.stream([, 1] as never), GenerationError, /^token id undefined is no/],
  ["an id below 0", () => good.stream([-1]), GenerationError, /^token id -1 is outside/],
  [
    "a huge id",
    () => good.stream([2n ** 200n]),
    GenerationError,
    /^token id a bigint beyond 64 bits is outside/,
  ],
  [
    "bytes",
    () => good.stream(new TextEncoder().encode("The animal")),
    GenerationError,
    /^the prompt is a Uint8Array; give text, or an array of token ids/,
  ],
  [
    "an array of floats",
    () => good.stream(Float32Array.of(1, 2)),
    GenerationError,
    /^the prompt is a Float32Array/,
  ],
  ["nothing", () => good.stream(undefined as never), GenerationError, /^the prompt is undefined/],
  ["a number", () => good.stream(7 as never), GenerationError, /^the prompt is 7/],
  ["an object", () => good.stream({ a: 1 } as never), GenerationError, /^the prompt is {"a":1}/],
  ["no settings", () => good.stream("a", null as never), GenerationError, /^the settings are null/],
  [
    "a prompt too long",
    () => good.stream(Array(513).fill(1)),
    ContextOverflowError,
    /^the prompt has 513 tokens; the model's context holds 512: shorten it$/,
  ],
  [
    "an unknown setting",
    () => good.stream("a", { numBeams: 2 } as never),
    GenerationError,
    /^numBeams is no setting/,
  ],
  [
    "a result before the end",
    () => good.stream("a").result,
    GenerationError,
    /^the stream has not ended/,
  ],
];

for (const [what, attempt, kind, message] of PROMPTS) {
  test(`refused: ${what}`, () => assert.throws(attempt, isOneLine(kind, message)));
}

test("no options for the next token are refused", async () => {
  await assert.rejects(good.nextTokens("a", 0), isOneLine(GenerationError, /^k is 0/));
});

test("a package without a tokenizer takes ids, and neither text nor stop strings", async () => {
  const options = withManifest((manifest) => {
    manifest.tokenizer = null;
  });
  const generator = await Generator.load(`${served.url}/packages/int4`, options);
  const { text, ids } = await generator.generate([1, 2, 3], { maxNewTokens: 3 });
  assert.deepEqual([text, ids.length], [null, 3]);
  assert.throws(() => generator.stream("a"), isOneLine(GenerationError, /has no tokenizer/));
  assert.throws(
    () => generator.stream([1], { stopStrings: "x" }),
    isOneLine(GenerationError, /stopStrings need a tokenizer/),
  );
  assert.equal(
    (await generator.nextTokens([1], 1))[0]!.text,
    String((await generator.nextTokens([1], 1))[0]!.id),
  );
  await generator.dispose();
});
