/** The same packages give the same tokens here, on WebAssembly in Node, as in Python. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Generator, type GenerationConfig } from "../src/index.js";
import type { Served } from "../scripts/static-server.js";
import { readExpected, serveAll } from "./support.js";

const expected = readExpected();
// Kernels of fp32 differ by rounding only; in quantized graphs it grows to rounding steps, and
// float16 and int8 caches round keys and values.
const LOGIT_TOLERANCE: Record<string, number> = { fp32: 1e-3 };
const OTHER_TOLERANCE = 0.5;
const STEPS = 30; // whose logits are compared

let served: Served;
const loaded = new Map<string, Generator>();
before(async () => {
  served = await serveAll();
});
after(async () => {
  await served.close();
});

async function load(name: string): Promise<Generator> {
  let generator = loaded.get(name);
  if (!generator) {
    generator = await Generator.load(`${served.url}/packages/${name}`, { threads: 1 });
    loaded.set(name, generator);
  }
  return generator;
}

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

test("portable int4 becomes floats on loading, unless that is not wanted", async () => {
  const url = `${served.url}/packages/portable`;
  const { prompt } = expected.packages["portable"]!.greedy;
  const usual = await (await load("portable")).logits(prompt);
  const apart: number[] = [];
  for (const floatWeights of [true, false]) {
    const generator = await Generator.load(url, { floatWeights });
    const logits = await generator.logits(prompt);
    apart.push(Math.max(...logits.map((logit, id) => Math.abs(logit - usual[id]!))));
    await generator.dispose();
  }
  // WebAssembly's kernel for 4 bits makes floats of them too, and sums in another order.
  const [asFloats, asFourBits] = apart;
  assert.equal(asFloats, 0);
  assert.ok(asFourBits! > 0 && asFourBits! < 1e-3, `${asFourBits}`);
});

const EMOJI = "🙂 naïve café – “quoted”";

test("streamed pieces are whole characters and add up to the text", async () => {
  const generator = await load("int4");
  const pieces: string[] = [];
  const stream = generator.stream(EMOJI, { maxNewTokens: 80, temperature: 3, topK: 8192, seed: 2 });
  for await (const piece of stream) pieces.push(piece);
  const { text, ids, seed, promptTokens } = stream.result;
  assert.equal(pieces.join(""), text);
  assert.ok(pieces.length > 10 && pieces.every((piece) => piece !== "" && piece.isWellFormed()));
  assert.equal(text, generator.tokenizer!.decode(ids));
  assert.deepEqual([seed, promptTokens], [2, generator.encode(EMOJI).length]);
});

test("the same seed gives the same text, and a fresh one is reported", async () => {
  const generator = await load("int4");
  const config: GenerationConfig = { maxNewTokens: 12, temperature: 1.5 };
  const first = await generator.generate("The", config);
  assert.ok(Number.isSafeInteger(first.seed) && (first.seed as number) >= 0);
  const second = await generator.generate("The", config);
  assert.notEqual(second.seed, first.seed);
  const again = await generator.generate("The", { ...config, seed: first.seed! });
  assert.deepEqual(again.ids, first.ids);
  assert.equal((await generator.generate("The", { maxNewTokens: 1 })).seed, null);
});

test("an aborted signal ends a text with what there is", async () => {
  const generator = await load("int4");
  const abort = new AbortController();
  const options = { signal: abort.signal };
  const stream = generator.stream("The old man", { maxNewTokens: 100, ignoreEos: true }, options);
  let shown = "";
  for await (const piece of stream) {
    shown += piece;
    if (shown.length > 10) abort.abort();
  }
  const { finishReason, text, ids } = stream.result;
  assert.equal(finishReason, "cancelled");
  assert.equal(text, shown);
  assert.ok(ids.length > 1 && ids.length < 20);
  const none = await generator.generate("The old man", {}, options);
  assert.deepEqual([none.finishReason, none.ids, none.text], ["cancelled", [], ""]);
});

test("timers run while a text is written, so that a click can end it", async () => {
  const generator = await load("int4");
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 50);
  const config = { maxNewTokens: 400, ignoreEos: true };
  const { finishReason } = await generator.generate("The", config, { signal: abort.signal });
  assert.equal(finishReason, "cancelled");
});

test("a stream that is left early leaves the generator as it was", async () => {
  const generator = await load("int4");
  const stream = generator.stream("The old man", { maxNewTokens: 50 });
  for await (const _ of stream) break;
  assert.throws(() => stream.result);
  const { greedy } = expected.packages["int4"]!;
  const again = await generator.generate(greedy.prompt, { maxNewTokens: 8, ignoreEos: true });
  assert.deepEqual(again.ids, greedy.ids.slice(0, 8));
});

test("texts that are written at the same time do not mix", async () => {
  const generator = await load("int4");
  const config = { maxNewTokens: 10, ignoreEos: true };
  const prompts = ["The ship was", "She looked", "In the night"];
  const alone = [];
  for (const prompt of prompts) alone.push((await generator.generate(prompt, config)).text);
  const together = await Promise.all(prompts.map((prompt) => generator.generate(prompt, config)));
  assert.deepEqual(
    together.map(({ text }) => text),
    alone,
  );
});

test("a stop string ends the text before it", async () => {
  const generator = await load("int4");
  const { greedy } = expected.packages["int4"]!;
  const stop = greedy.text.slice(20, 26);
  const config = { maxNewTokens: greedy.ids.length, ignoreEos: true, stopStrings: [stop, "@@"] };
  const stream = generator.stream(greedy.prompt, config);
  let shown = "";
  for await (const piece of stream) shown += piece;
  assert.equal(stream.result.finishReason, "stop");
  assert.equal(shown, greedy.text.slice(0, greedy.text.indexOf(stop)));
  assert.equal(stream.result.text, shown);
});

test("an end-of-text token ends a text unless it is ignored", async () => {
  const { greedy } = expected.packages["int4"]!;
  const eos = greedy.ids[4]!;
  const end = greedy.ids.indexOf(eos) + 1;
  const url = `${served.url}/packages/int4`;
  const generator = await Generator.load(url, {
    fetch: async (file, init) => {
      const answer = await fetch(file, init);
      if (!file.endsWith("/manifest.json")) return answer;
      return Response.json({ ...(await answer.json()), eos_token_ids: [8191, eos] });
    },
  });
  const ended = await generator.generate(greedy.prompt, { maxNewTokens: 10 });
  assert.equal(ended.finishReason, "eos");
  assert.deepEqual(ended.ids, greedy.ids.slice(0, end));
  const on = await generator.generate(greedy.prompt, { maxNewTokens: 10, ignoreEos: true });
  assert.equal(on.finishReason, "length");
  assert.deepEqual(on.ids, greedy.ids.slice(0, 10));
  await generator.dispose();
});

test("log-probabilities are those of the next tokens", async () => {
  const generator = await load("fp32");
  const { ids, logprobs } = await generator.generate("The", { maxNewTokens: 3, logprobs: true });
  assert.equal(logprobs!.length, 3);
  const [first] = await generator.nextTokens("The", 1);
  assert.equal(first!.id, ids[0]);
  assert.ok(Math.abs(Math.exp(logprobs![0]!) - first!.probability) < 1e-6);
  const plain = await generator.generate("The", { maxNewTokens: 1 });
  assert.equal(plain.logprobs, null);
});

test("tokens come one by one, without text", async () => {
  const generator = await load("int4");
  const { greedy } = expected.packages["int4"]!;
  const ids = [];
  for await (const token of generator.tokens(greedy.prompt, { maxNewTokens: 5, ignoreEos: true })) {
    ids.push(token.id);
  }
  assert.deepEqual(ids, greedy.ids.slice(0, 5));
});
