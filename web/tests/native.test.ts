/** On onnxruntime-node, which Node takes where it is installed, a package computes what it does in Python. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { Generator, PackageError } from "../src/index.js";
import { signedWeightsOverflow } from "../src/int8-overflow.js";
import type { OrtModule } from "../src/runtime.js";
import { assertOneLine, loading, PACKAGES, readExpected } from "./support.js";

const expected = readExpected();
const { load, packageUrl } = loading("cpu");
// Both are ONNX Runtime, perhaps of two versions, whose kernels may round in other places.
const LOGIT_TOLERANCE: Record<string, number> = {
  fp32: 1e-3,
  "gpt-neo": 1e-3,
  "gpt-neo-portable": 1e-3,
};
const OTHER_TOLERANCE = 0.5;
const STEPS = 30;
// The largest difference of attention's weights, and the mean.
const ATTENTION_TOLERANCE = {
  fp32: [1e-4, 1e-5],
  int4: [0.3, 0.01],
  portable: [0.3, 0.01],
  "gpt-neo": [1e-4, 1e-5],
};

for (const [name, { greedy, sampled, score }] of Object.entries(expected.packages)) {
  test(`${name}: tokens and logits are Python's`, async (t) => {
    const generator = await load(name);
    assert.equal(generator.provider, "cpu");
    assert.deepEqual(await generator.selfTest(), []);
    for (const one of sampled ? [greedy, sampled] : [greedy]) {
      const config = { ...one.config, maxNewTokens: one.ids.length, ignoreEos: true };
      const { ids, text, provider } = await generator.generate(one.prompt, config);
      assert.deepEqual([ids, text, provider], [one.ids, one.text, "cpu"]);
    }
    const prompt = generator.encode(greedy.prompt);
    const sequence = await generator.session.start(prompt.length + greedy.ids.length);
    let most = 0;
    let logits = (await sequence.prefill(prompt))!;
    for (const [step, id] of greedy.ids.slice(0, STEPS).entries()) {
      for (const [token, logit] of greedy.logits![step]!) {
        most = Math.max(most, Math.abs(logits[token]! - logit));
      }
      logits = await sequence.feed([id]);
    }
    sequence.dispose();
    assert.ok(most <= (LOGIT_TOLERANCE[name] ?? OTHER_TOLERANCE), `${most}`);
    t.diagnostic(`largest difference of the 5 largest logits: ${most.toExponential(1)}`);
    const scored = await generator.scoreTokens(score.prompt);
    const tolerance = LOGIT_TOLERANCE[name] ?? OTHER_TOLERANCE;
    for (const [at, { id, logprob }] of score.tokens.entries()) {
      assert.equal(scored[at]!.id, id);
      assert.ok(Math.abs((scored[at]!.logprob ?? 0) - (logprob ?? 0)) <= tolerance, `${at}`);
    }
  });
}

test("texts that are written together, and a prompt cache, give what each alone gives", async () => {
  for (const name of ["fp32", "int8-row", "portable"]) {
    const generator = await load(name);
    const prompt = "The old man sat by the fire and";
    const config = { maxNewTokens: 70, ignoreEos: true, seed: 5, topK: 3 };
    const cache = generator.newCache();
    const texts = await generator.generateTexts(prompt, 3, config, { cache });
    assert.equal(new Set(texts.map(({ text }) => text)).size, 3);
    if (name === "fp32") {
      for (const { seed, ids } of texts) {
        assert.deepEqual((await generator.generate(prompt, { ...config, seed: seed! })).ids, ids);
      }
    }
    const [best] = await generator.nextTokens(prompt, { k: 1, cache });
    const [fresh] = await generator.nextTokens(prompt, 1);
    assert.deepEqual(best, fresh);
    cache.dispose();
  }
});

test("attention's weights are Python's", async () => {
  for (const [name, [tolerated, meanTolerated]] of Object.entries(ATTENTION_TOLERANCE)) {
    const generator = await load(name);
    const { prompt, weights } = expected.packages[name]!.attention!;
    const found = (await generator.attention(prompt)).weights;
    const apart = weights.map((weight, at) => Math.abs(weight - found[at]!));
    const most = apart.reduce((a, b) => Math.max(a, b));
    const mean = apart.reduce((a, b) => a + b) / apart.length;
    assert.ok(most <= tolerated! && mean <= meanTolerated!, `${name}: ${most}, ${mean}`);
  }
});

test("auto takes it, with as many threads as asked for", async () => {
  const generator = await Generator.load(packageUrl("int4"), { threads: 2 });
  assert.equal(generator.provider, "cpu");
  assert.match(generator.fallbackReason!, /onnxruntime-node/);
  const { greedy } = expected.packages["int4"]!;
  const config = { maxNewTokens: 10, ignoreEos: true };
  const { ids } = await generator.generate(greedy.prompt, config);
  assert.deepEqual(ids, greedy.ids.slice(0, 10));
  await generator.dispose();
});

test("packages on the disk have file: addresses", async () => {
  const folder = pathToFileURL(`${PACKAGES}external`);
  const generator = await Generator.load(folder, { provider: "cpu" });
  const { greedy } = expected.packages["external"]!;
  const { ids } = await generator.generate(greedy.prompt, { maxNewTokens: 5, ignoreEos: true });
  assert.deepEqual(ids, greedy.ids.slice(0, 5));
  await generator.dispose();
  for (const missing of [`${PACKAGES}nothing`, `${PACKAGES}int4/model.onnx`]) {
    await assert.rejects(Generator.load(pathToFileURL(missing)), (error) =>
      assertOneLine(error, PackageError, /^file:.* has no manifest\.json; is it a package/),
    );
  }
});

test("whether signed weights overflow is what the largest sum tells", async () => {
  const right = 255 * 127 * 32;
  for (const [sums, overflows] of [
    [[right, right], false],
    [[right, 32767], true],
  ] as const) {
    const data = Int32Array.from(sums);
    let released = 0;
    const session = { run: async () => ({ y: { data } }), release: async () => released++ };
    const ort = { InferenceSession: { create: async () => session }, Tensor: class {} };
    assert.equal(await signedWeightsOverflow(ort as unknown as OrtModule), overflows);
    assert.equal(released, 1);
  }
  const ort = (await import("onnxruntime-node")) as unknown as OrtModule;
  assert.equal(typeof (await signedWeightsOverflow(ort)), "boolean"); // the probe is a graph that runs
});
