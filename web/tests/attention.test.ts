/** Attention's weights are those of ONNX Runtime in Python, of fused and of portable graphs. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { GenerationError, Generator, type AttentionWeights } from "../src/index.js";
import { attentive, withoutDefault } from "../src/graph-edit.js";
import { fieldsOf } from "../src/protobuf.js";
import { UnreadableError } from "../src/untrusted.js";
import { assertOneLine, inMemory, loading, MEMORY, PACKAGES, readExpected } from "./support.js";

const { packages, slide } = readExpected();
const { load } = loading();
// The largest difference, and the mean. Kernels round products of 4 bits in other places.
const TOLERANCES = {
  fp32: [1e-4, 1e-5],
  int4: [0.3, 0.01],
  portable: [0.3, 0.01],
  "gpt-neo": [1e-4, 1e-5],
} as const;

/** Rows sum to one, and no token sees a later one. */
function assertRows({ tokens: { length }, weights }: AttentionWeights): void {
  for (let row = 0; row < weights.length / length; row++) {
    const query = row % length;
    const seen = weights.subarray(row * length, (row + 1) * length);
    assert.ok(Math.abs(seen.reduce((sum, weight) => sum + weight, 0) - 1) < 1e-4, `${row}`);
    assert.ok(seen.every((weight, key) => weight >= 0 && (key <= query || weight === 0)));
  }
}

for (const [name, [tolerated, meanTolerated]] of Object.entries(TOLERANCES)) {
  test(`${name}: attention's weights are Python's`, async () => {
    const generator = await load(name);
    const { prompt, weights: expected } = packages[name]!.attention!;
    const found = await generator.attention(prompt);
    const { numLayers, numHeads } = generator.manifest.architecture;
    assert.deepEqual([found.layers, found.heads], [numLayers, numHeads]);
    assert.equal(found.weights.length, expected.length);
    const apart = expected.map((weight, at) => Math.abs(weight - found.weights[at]!));
    const most = apart.reduce((a, b) => Math.max(a, b));
    const mean = apart.reduce((a, b) => a + b) / apart.length;
    assert.ok(most <= tolerated && mean <= meanTolerated, `${most}, ${mean} in the mean`);
    assertRows(found);
    assert.deepEqual(found.tokens, generator.tokenize(prompt));
  });
}

test("gpt-neo: every second layer sees eight tokens, the others all", async () => {
  const { prompt } = packages["gpt-neo"]!.attention!;
  const generator = await load("gpt-neo");
  const { layers, heads, tokens, weights } = await generator.attention(prompt);
  const { length } = tokens;
  assert.ok(length > 12);
  for (let layer = 0; layer < layers; layer++) {
    const of = weights.subarray(layer * heads * length * length, (layer + 1) * heads * length ** 2);
    const far = of.filter((_, at) => Math.floor(at / length) % length >= (at % length) + 8);
    assert.equal(
      far.every((weight) => weight === 0),
      layer % 2 === 1,
      `layer ${layer}`,
    );
  }
});

test("attention of a prompt of several parts is the same at its beginning", async () => {
  const generator = await load("fp32");
  const { numLayers, numHeads } = generator.manifest.architecture;
  const prompt = slide.prompt.slice(0, 300);
  const whole = await generator.attention(prompt);
  assertRows(whole);
  const [short, long] = [20, prompt.length];
  const begun = await generator.attention(prompt.slice(0, short));
  let most = 0;
  for (let head = 0; head < numLayers * numHeads; head++) {
    for (let query = 0; query < short; query++) {
      for (let key = 0; key < short; key++) {
        const one = begun.weights[(head * short + query) * short + key]!;
        most = Math.max(most, Math.abs(one - whole.weights[(head * long + query) * long + key]!));
      }
    }
  }
  assert.ok(most < 1e-5, `${most}`);
});

test("a second download that fails is a line, and is tried again", async () => {
  const { options } = inMemory("int4");
  let broken = false;
  const fetch = async (url: string, init: { signal: AbortSignal }): Promise<Response> =>
    broken ? new Response("", { status: 503 }) : options.fetch!(url, init);
  const generator = await Generator.load(MEMORY, { ...options, fetch });
  broken = true;
  await assert.rejects(generator.attention("The man"), /HTTP 503; try again later/);
  broken = false;
  assertRows(await generator.attention("The man"));
  await generator.dispose();
});

test("a call that is ended does not wait for the second download, which others use", async () => {
  const { options } = inMemory("int4");
  let gate = Promise.resolve();
  const fetch: typeof options.fetch = async (url, init) => {
    await gate;
    return options.fetch!(url, init);
  };
  const generator = await Generator.load(MEMORY, { ...options, fetch });
  let answer = (): void => {};
  gate = new Promise((resolve) => (answer = resolve));
  const control = new AbortController();
  const ended = generator.attention("The man", { signal: control.signal });
  const other = generator.attention("The man");
  control.abort();
  await assert.rejects(ended, { name: "AbortError" });
  answer();
  assertRows(await other);
  await generator.dispose();
});

test("a cache of float16 has no such weights: that is a line", async () => {
  const generator = await load("cache-float16");
  await assert.rejects(generator.attention("The man sat"), (error) =>
    assertOneLine(error, GenerationError, /^"sample" gives no attention weights here: .*float16$/),
  );
});

test("a graph is changed where it is asked for, and nowhere else", async () => {
  const content = new Uint8Array(readFileSync(`${PACKAGES}int4/model.onnx`));
  const { manifest } = await load("int4");
  const { graph, outputs } = attentive(content, manifest);
  assert.equal(outputs.length, manifest.architecture.numLayers);
  const added = graph.length - content.length;
  assert.ok(added > 0 && added < 1000, `${added}`); // the weights are as they were
  assert.deepEqual(attentive(graph, manifest).outputs, outputs);
  assert.deepEqual(withoutDefault(content, "no such input"), content);
  assert.ok(withoutDefault(content, "logits_to_keep").length < content.length);
});

test("a graph without attention that is known is refused", async () => {
  const generator = await load("int4");
  const empty = Uint8Array.of(0x3a, 0x02, 0x0a, 0x00); // a graph of one node without anything
  assert.throws(() => attentive(empty, generator.manifest), UnreadableError);
  assert.throws(() => attentive(Uint8Array.of(), generator.manifest), UnreadableError);
  assert.throws(() => [...fieldsOf(Uint8Array.of(0x3a, 0x05, 0x00))], UnreadableError);
});
