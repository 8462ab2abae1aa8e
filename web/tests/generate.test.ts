/** The same packages give the same tokens here, on WebAssembly in Node, as in Python. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ContextOverflowError, Generator } from "../src/index.js";
import { loading, readExpected } from "./support.js";

const expected = readExpected();
// Kernels of fp32 differ by rounding only; in quantized graphs it grows to rounding steps, and
// float16 and int8 caches round keys and values.
const LOGIT_TOLERANCE: Record<string, number> = {
  fp32: 1e-3,
  "gpt-neo": 1e-3,
  "gpt-neo-portable": 1e-3,
};
const OTHER_TOLERANCE = 0.5;
const STEPS = 30; // whose logits are compared

const { load, packageUrl } = loading();

for (const [name, { greedy, sampled, next }] of Object.entries(expected.packages)) {
  test(`${name}: the manifest's self-test passes`, async () => {
    assert.deepEqual(await (await load(name)).selfTest(), []);
  });

  test(`${name}: ${greedy.ids.length} greedy tokens are Python's`, async (t) => {
    const generator = await load(name);
    const config = { maxNewTokens: greedy.ids.length, ignoreEos: true };
    const { ids, text, provider } = await generator.generate(greedy.prompt, config);
    assert.deepEqual(ids, greedy.ids);
    assert.equal(text, greedy.text);
    assert.equal(provider, "wasm");
    t.diagnostic(`Python's closest lead of a first logit: ${greedy.margin.toFixed(3)}`);
  });

  test(`${name}: logits are Python's but for rounding`, async (t) => {
    const generator = await load(name);
    const prompt = generator.encode(greedy.prompt);
    const sequence = await generator.session.start(prompt.length + greedy.ids.length);
    const differences: number[] = [];
    let logits = (await sequence.prefill(prompt))!;
    for (const [step, id] of greedy.ids.slice(0, STEPS).entries()) {
      for (const [token, logit] of greedy.logits![step]!) {
        differences.push(Math.abs(logits[token]! - logit));
      }
      logits = await sequence.feed([id]);
    }
    sequence.dispose();
    differences.sort((a, b) => a - b);
    const [median, most] = [differences[differences.length >> 1]!, differences.at(-1)!];
    assert.ok(most <= (LOGIT_TOLERANCE[name] ?? OTHER_TOLERANCE), `${most}`);
    t.diagnostic(
      `differences of the 5 largest logits: median ${median.toExponential(1)}, ` +
        `largest ${most.toExponential(1)}`,
    );
  });

  if (sampled) {
    test(`${name}: ${sampled.ids.length} tokens drawn with a seed are Python's`, async (t) => {
      const generator = await load(name);
      const config = { ...sampled.config, maxNewTokens: sampled.ids.length, ignoreEos: true };
      const { ids, text, seed } = await generator.generate(sampled.prompt, config);
      assert.deepEqual(ids, sampled.ids);
      assert.equal(text, sampled.text);
      assert.equal(seed, sampled.config!.seed);
      t.diagnostic(`in Python, draws stay when logits move by up to ${sampled.margin}`);
    });
  }

  test(`${name}: the next tokens have Python's probabilities`, async () => {
    const found = await (await load(name)).nextTokens(next.prompt, 2 * next.tokens.length);
    for (const option of next.tokens) {
      const same = found.find(({ id }) => id === option.id);
      assert.ok(same, option.text);
      assert.equal(same.text, option.text);
      const tolerance = LOGIT_TOLERANCE[name] ?? 0.05;
      assert.ok(Math.abs(same.probability - option.probability) <= tolerance, option.text);
    }
    assert.ok(
      found.every(({ probability }, at) => probability <= (found[at - 1]?.probability ?? 1)),
    );
  });
}

test("a long prompt goes in parts, and the window slides as in Python", async () => {
  const { prompt, ids } = expected.slide;
  const generator = await load("fp32");
  const { contextLength } = generator.manifest.architecture;
  assert.ok(prompt.length + ids.length > contextLength);
  const config = { maxNewTokens: ids.length, ignoreEos: true };
  const slid = await generator.generate(prompt, { ...config, contextOverflow: "slide" });
  assert.deepEqual(slid.ids, ids);
  const stopped = await generator.generate(prompt, config);
  assert.equal(stopped.finishReason, "length");
  assert.deepEqual(stopped.ids, ids.slice(0, contextLength - prompt.length + 1));
});

test("of a prompt longer than the context the first tokens are kept as in Python", async () => {
  const { prompt, keep, ids } = expected.slide.kept;
  const generator = await load("fp32");
  const config = { maxNewTokens: ids.length, ignoreEos: true, keep };
  const { architecture } = generator.manifest;
  const slid = await generator.generate(prompt, { ...config, contextOverflow: "slide" });
  assert.deepEqual(slid.ids, ids);
  assert.equal(slid.promptTokens, architecture.contextLength);
  await assert.rejects(() => generator.generate(prompt, config), ContextOverflowError);
});

for (const name of ["fp32", "cache-float16", "cache-int8"]) {
  test(`${name}: a cache that was trimmed is as it was before`, async () => {
    const generator = await load(name);
    const sequence = await generator.session.start(64);
    const prompt = expected.slide.prompt.slice(0, 48);
    await sequence.feed(prompt.slice(0, 32));
    const first = Float32Array.from(await sequence.feed(prompt.slice(32)));
    await sequence.trim(32);
    assert.deepEqual(sequence.ids, prompt.slice(0, 32));
    assert.deepEqual(Float32Array.from(await sequence.feed(prompt.slice(32))), first);
    await sequence.trim(0);
    await sequence.feed(prompt.slice(0, 32));
    assert.deepEqual(Float32Array.from(await sequence.feed(prompt.slice(32))), first);
    sequence.dispose();
  });
}

for (const name of ["fp32", "int8", "int4", "int8-row"]) {
  test(`${name}: a prompt has the same logits however it is fed, to the bit`, async () => {
    const generator = await load(name);
    // 256 tokens are a part; behind them the last one must not come alone.
    const prompt = expected.slide.prompt.slice(0, 257);
    const whole = await generator.logits(prompt);
    for (const cuts of [[257], [112, 160, 257]]) {
      const sequence = await generator.session.start(prompt.length);
      let logits = new Float32Array();
      for (const [at, end] of cuts.entries()) {
        logits = Float32Array.from(await sequence.feed(prompt.slice(cuts[at - 1] ?? 0, end)));
      }
      sequence.dispose();
      const apart = logits.reduce((most, logit, id) =>
        Math.max(most, Math.abs(logit - whole[id]!)),
      );
      assert.equal(apart, 0, `fed up to ${cuts}`);
    }
  });
}

for (const name of ["int4", "int8", "portable"]) {
  test(`${name} becomes floats on loading, unless that is not wanted`, async () => {
    const url = packageUrl(name);
    // Long enough for a last bit to differ.
    const prompt = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % 8000);
    const usual = await (await load(name)).logits(prompt);
    const apart: number[] = [];
    for (const floatWeights of [true, false]) {
      const generator = await Generator.load(url, { provider: "wasm", floatWeights });
      const logits = await generator.logits(prompt);
      apart.push(Math.max(...logits.map((logit, id) => Math.abs(logit - usual[id]!))));
      assert.deepEqual(await generator.selfTest(), []);
      await generator.dispose();
    }
    // WebAssembly's kernel for few bits makes floats of them too, and sums in another order. Where
    // activations are rounded to 8 bits (int8), a last bit can move one of them by a whole step.
    const [asFloats, asBits] = apart;
    const tolerance = name === "int8" ? OTHER_TOLERANCE : 1e-3;
    assert.equal(asFloats, 0);
    assert.ok(asBits! > 0 && asBits! < tolerance, `${asBits}`);
  });
}
