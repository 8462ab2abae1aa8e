/** Packages whose files do not keep what the format promises are refused before they run. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";

import { DEFAULTS } from "../src/config.js";
import { withFloatWeights } from "../src/float-weights.js";
import { attentive, withoutDefault } from "../src/graph-edit.js";
import { readGraphFile } from "../src/graph-file.js";
import { GenerationError, Generator, GPT2EdgeError, PackageError } from "../src/index.js";
import { SplitMix64 } from "../src/splitmix64.js";
import { Tokenizer } from "../src/tokenizer.js";
import { UnreadableError } from "../src/untrusted.js";
import { assertOneLine, inMemory, MEMORY, PACKAGES, type Memory } from "./support.js";

const load = ({ options }: Memory): Promise<Generator> => Generator.load(MEMORY, options);

async function refuses(memory: Memory, message: RegExp): Promise<void> {
  await assert.rejects(load(memory), (error) => assertOneLine(error, PackageError, message));
}

let good: Generator;
before(async () => {
  good = await load(inMemory("int4"));
});
after(() => good.dispose());

const GREEDY = { maxNewTokens: 5, ignoreEos: true };

test("weights lie in whatever files the graph names, hashed as all others", async () => {
  const memory = inMemory("renamed");
  const generator = await load(memory);
  assert.ok(memory.asked.includes("weights.bin"));
  const { ids } = await generator.generate("The old man", GREEDY);
  assert.deepEqual(ids, (await good.generate("The old man", GREEDY)).ids);
  await generator.dispose();
  const weights = new Uint8Array(readFileSync(`${PACKAGES}renamed/weights.bin`)).fill(7, 9, 10);
  const record = (manifest: any) => (manifest.files["weights.bin"].sha256 = "0".repeat(64));
  await refuses(inMemory("renamed", record, { "weights.bin": weights }), /weights.bin is damaged/);
});

test("weights that are not listed, or lie elsewhere, are refused by name", async () => {
  for (const name of ["renamed", "external"]) {
    const file = name === "renamed" ? "weights.bin" : "model.onnx_data";
    const memory = inMemory(name, (manifest) => delete manifest.files[file]);
    await refuses(memory, new RegExp(`has weights in "${file}", which the manifest does not list`));
    assert.ok(!memory.asked.includes(file));
  }
  const graph = readFileSync(`${PACKAGES}renamed/model.onnx`);
  for (const elsewhere of ["../ights.bi", "/eights.bin", "./ights.bin", "w\u001b[2J\n.bin\n"]) {
    const moved = Buffer.from(
      graph.toString("latin1").replaceAll("weights.bin", elsewhere),
      "latin1",
    );
    await refuses(
      inMemory("renamed", () => {}, { "model.onnx": moved }),
      /has weights in "/,
    );
  }
});

test("a graph cut anywhere is no graph, and reading it ends", () => {
  const graph = new Uint8Array(readFileSync(`${PACKAGES}renamed/model.onnx`));
  const { locations, positions } = readGraphFile(graph, "position_ids");
  assert.deepEqual([[...locations], positions], [["weights.bin"], [512, 256]]);
  const random = new SplitMix64(1);
  const draw = (below: number): number => Math.floor(random.uniform() * below);
  let unreadable = 0;
  for (let round = 0; round < 500; round++) {
    const changed = graph.slice(0, round % 2 ? draw(graph.length) : graph.length);
    for (let flips = draw(4); flips > 0; flips--) changed[draw(changed.length)] = draw(256);
    try {
      readGraphFile(changed, "position_ids");
      withFloatWeights(changed);
      attentive(withoutDefault(changed, "logits_to_keep"), good.manifest);
    } catch (error) {
      assert.ok(error instanceof UnreadableError, `${error}`);
      unreadable++;
    }
  }
  assert.ok(unreadable > 100 && unreadable < 500, `${unreadable}`);
});

test("graphs within graphs are not followed", () => {
  // graph { node { attribute { g: graph {…} } } }, each level around the one before.
  let graph: number[] = [];
  const field = (number: number, content: number[]): number[] => {
    const size = [];
    for (let rest = content.length; ; rest >>= 7) {
      size.push(rest > 127 ? (rest & 127) | 128 : rest);
      if (rest <= 127) break;
    }
    return [number * 8 + 2, ...size, ...content];
  };
  for (let level = 0; level < 60; level++) graph = field(1, field(5, field(6, graph)));
  assert.throws(
    () => readGraphFile(Uint8Array.from(field(7, graph)), null),
    (error) => error instanceof UnreadableError && /runs a graph within/.test(error.message),
  );
});

test("where only a run tells how many positions there are, one is tried", async () => {
  const generator = await load(inMemory("hidden-positions"));
  const { ids } = await generator.generate("The old man", GREEDY);
  assert.deepEqual(ids, (await good.generate("The old man", GREEDY)).ids);
  await generator.dispose();
  const longer = inMemory("hidden-positions", (m) => (m.architecture.context_length = 513));
  await refuses(longer, /cannot run at the last position of the manifest's context_length 513/);
});

test("sizes that the graph shows are compared", async () => {
  await refuses(
    inMemory("int4", (m) => (m.architecture.context_length = 513)),
    /model.onnx has 512 positions, the manifest a context_length of 513/,
  );
  await refuses(
    inMemory("int4", (m) => (m.architecture.hidden_size = 255)),
    /model.onnx has embeddings of 256, the manifest a hidden_size of 255/,
  );
});

test("what no browser holds is refused before it is asked for", async () => {
  const graph = inMemory("int4", (m) => (m.files["model.onnx"].bytes = 2 ** 40));
  await refuses(graph, /has \d+ bytes to load, a browser's WebAssembly holds 4294967296/);
  const tokenizer = inMemory("int4", (m) => (m.files["tokenizer.json"].bytes = 2 ** 30));
  await refuses(tokenizer, /tokenizer.json has more than 48 MB/);
  for (const { asked } of [graph, tokenizer]) assert.deepEqual(asked, ["manifest.json"]);
  const manifest = new Uint8Array(9 * 2 ** 20).fill(0x20);
  await refuses(
    inMemory("int4", () => {}, { "manifest.json": manifest }),
    /it has more than 8 MB/,
  );
});

test("logits that are not numbers are an error and no token", async () => {
  const generator = await load(inMemory("no-numbers"));
  const isError = (error: unknown) =>
    assertOneLine(error, GenerationError, /^the model gave logits that are not numbers; export/);
  for (const config of [{}, { seed: 1 }, { temperature: 2, topK: 0 }, { topP: 0 }]) {
    await assert.rejects(generator.generate("The", config), isError);
  }
  await assert.rejects(generator.nextTokens("The"), isError);
  assert.ok((await generator.selfTest()).some((problem) => problem.includes("not numbers")));
  await generator.dispose();
});

test("a package's generation_config.json gives the defaults", async () => {
  const own = { do_sample: true, top_k: 1, max_new_tokens: 4, epsilon_cutoff: 0.1, min_p: null };
  const file = { "generation_config.json": JSON.stringify(own) };
  const generator = await load(inMemory("int4", () => {}, file));
  const defaults = { ...DEFAULTS, maxNewTokens: 4, doSample: true, topK: 1 };
  assert.deepEqual(generator.generationConfig, defaults);
  const { ids, seed } = await generator.generate("The old man", { ignoreEos: true });
  assert.deepEqual(ids, (await good.generate("The old man", GREEDY)).ids.slice(0, 4));
  assert.notEqual(seed, null); // it drew, among one
  const other = await generator.generate("The old man", { ...GREEDY, doSample: false });
  assert.deepEqual([other.ids.length, other.seed], [5, null]);
  assert.deepEqual(await generator.selfTest(), []);
  await generator.dispose();
  for (const wrong of ["", "[]", '{"top_k": 1, "top_k": 2}', '{"temperature": "hot"}']) {
    const memory = inMemory("int4", () => {}, { "generation_config.json": wrong });
    await refuses(
      memory,
      /\/generation_config.json (cannot be read as JSON|has temperature "hot")/,
    );
  }
  const unlisted = inMemory("int4", (m) => delete m.files["generation_config.json"]);
  await (await load(unlisted)).dispose();
  assert.ok(!unlisted.asked.includes("generation_config.json"));
});

test("topK 0 draws among all tokens, topP 0 takes the most likely", async () => {
  const { ids } = await good.generate("The old man", { ...GREEDY, topP: 0, seed: 5 });
  assert.deepEqual(ids, (await good.generate("The old man", GREEDY)).ids);
  const hot = { maxNewTokens: 10, ignoreEos: true, temperature: 2, seed: 5 };
  const all = await good.generate("The old man", { ...hot, topK: 0 });
  const { vocabSize } = good.manifest.architecture;
  assert.deepEqual(all.ids, (await good.generate("The old man", { ...hot, topK: vocabSize })).ids);
});

test("ids may be of any type for whole numbers, bytes aside", async () => {
  const ids = [12, 13, 14];
  const { ids: wanted } = await good.generate(ids, GREEDY);
  for (const prompt of [Int32Array.from(ids), Uint16Array.from(ids), ids.map(BigInt)]) {
    assert.deepEqual((await good.generate(prompt, GREEDY)).ids, wanted);
  }
});

test("a server that is not there is an error with its reason and its cause", async () => {
  const server = createServer();
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  await assert.rejects(Generator.load(`http://127.0.0.1:${port}/package`), (error) => {
    assertOneLine(error, PackageError, /cannot be reached \(fetch failed: .*ECONNREFUSED.*\)/);
    assert.ok((error as Error).cause instanceof TypeError);
    return true;
  });
});

test("a connection that the server has closed meanwhile is tried once more", async () => {
  const { options } = inMemory("int4");
  const tries: Record<string, number> = {};
  const flaky = (times: number): Memory["options"] => ({
    fetch: async (url, init) => {
      tries[url] = (tries[url] ?? 0) + 1;
      if (tries[url] > times) return options.fetch!(url, init);
      const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
      throw new TypeError("fetch failed", { cause });
    },
  });
  await (await Generator.load(MEMORY, flaky(1))).dispose();
  assert.ok(Object.values(tries).every((count) => count === 2));
  await assert.rejects(Generator.load(`${MEMORY}?again`, flaky(9)), (error) =>
    assertOneLine(error, PackageError, /cannot be reached \(fetch failed: read ECONNRESET\)/),
  );
});

test("a tokenizer.json changed anywhere is read, or refused in one line", () => {
  const written = readFileSync(`${PACKAGES}int4/tokenizer.json`, "utf8");
  const random = new SplitMix64(2);
  const draw = <T>(values: readonly T[]): T =>
    values[Math.floor(random.uniform() * values.length)]!;
  const odd = [null, true, -1, 0.5, 1e300, "", "\u001b[2J\n", [], {}, [[]], { type: "Nothing" }];
  // Small enough for many rounds: the parts stay, the vocabulary is cut.
  const file = JSON.parse(written);
  file.model.vocab = Object.fromEntries(Object.entries(file.model.vocab).slice(0, 300));
  file.model.merges = file.model.merges.slice(0, 40);
  let refused = 0;
  for (let round = 0; round < 600; round++) {
    const changed = structuredClone(file);
    let parent = changed;
    let key = draw(Object.keys(parent));
    while (typeof parent[key] === "object" && parent[key] && random.uniform() < 0.7) {
      const keys = Object.keys(parent[key]);
      if (keys.length === 0) break;
      parent = parent[key];
      key = draw(keys);
    }
    if (random.uniform() < 0.2) delete parent[key];
    else parent[key] = draw(odd);
    try {
      const content = new TextEncoder().encode(JSON.stringify(changed));
      const tokenizer = new Tokenizer(content, "https://x/tokenizer.json");
      for (const options of [{}, { parseSpecial: false }]) {
        tokenizer.decode(tokenizer.encode("It's <|endoftext|> 12 🙂 \n x", options));
      }
      tokenizer.decode([0, 1, 299, 8191]);
    } catch (error) {
      assertOneLine(error, GPT2EdgeError, /./);
      refused++;
    }
  }
  assert.ok(refused > 50, `${refused}`);
});

test("a manifest changed anywhere is borne, or refused in one line", async () => {
  const random = new SplitMix64(3);
  const draw = <T>(values: readonly T[]): T =>
    values[Math.floor(random.uniform() * values.length)]!;
  const odd = [
    null,
    true,
    -1,
    0,
    0.5,
    1e15,
    1e300,
    "",
    "\u001b[2J\n",
    "{i}{i}",
    [],
    {},
    [1],
    "../x",
  ];
  let refused = 0;
  for (let round = 0; round < 250; round++) {
    const memory = inMemory("int4", (manifest) => {
      let parent = manifest;
      let key = draw(Object.keys(parent));
      while (typeof parent[key] === "object" && parent[key] && random.uniform() < 0.8) {
        const keys = Object.keys(parent[key]);
        if (keys.length === 0) break;
        parent = parent[key];
        key = draw(keys);
      }
      if (random.uniform() < 0.2) delete parent[key];
      else parent[key] = draw(odd);
    });
    try {
      await (await load(memory)).dispose();
    } catch (error) {
      assertOneLine(error, PackageError, /./);
      refused++;
    }
  }
  assert.ok(refused > 100, `${refused}`);
});
