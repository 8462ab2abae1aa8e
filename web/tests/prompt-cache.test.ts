/** Next tokens and texts with a cache: what they say, and what they read. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { GenerationError, type GenerationResult, type Generator } from "../src/index.js";
import { shares } from "../src/sampling.js";
import { assertOneLine, loading, readExpected } from "./support.js";

const { slide } = readExpected();
const { load } = loading();
const PROMPT = "The old man sat by the fire and";

/** How many tokens each run of the graph is fed while `work` is done. */
async function fedBy(generator: Generator, work: () => Promise<unknown>): Promise<number[]> {
  const { session, manifest } = generator;
  const fed: number[] = [];
  const { run } = session;
  session.run = (feeds, fetches) => {
    fed.push(feeds[manifest.graph.names.inputIds]!.dims[1]!);
    return run.call(session, feeds, fetches);
  };
  try {
    await work();
  } finally {
    session.run = run;
  }
  return fed;
}

test("one more token costs one step, the same prompt none, and tokens taken back none of theirs", async () => {
  const generator = await load("fp32");
  const cache = generator.newCache();
  const ids = generator.encode(PROMPT);
  const [first] = await generator.nextTokens(ids, { cache });
  assert.deepEqual(cache.ids, ids);
  const more = [...ids, first!.id];
  assert.deepEqual(await fedBy(generator, () => generator.nextTokens(more, { cache })), [1]);
  assert.deepEqual(await fedBy(generator, () => generator.nextTokens(more, { cache })), []);
  assert.deepEqual(await fedBy(generator, () => generator.nextTokens(ids, { cache })), [1]);
  const cached = await generator.nextTokens(more, { cache, k: 20 });
  const plain = await generator.nextTokens(more, { k: 20 });
  for (const [at, { id, probability }] of plain.entries()) {
    assert.equal(cached[at]!.id, id);
    assert.ok(Math.abs(cached[at]!.probability - probability) < 1e-4);
  }
  cache.dispose();
  await assert.rejects(generator.nextTokens(ids, { cache }), /the cache was disposed/);
});

test("texts behind one prompt read it once, and are those without a cache", async () => {
  const generator = await load("fp32");
  const cache = generator.newCache();
  const config = { maxNewTokens: 6, topK: 3, ignoreEos: true };
  const plain: GenerationResult[] = [];
  for (const seed of [1, 2]) plain.push(await generator.generate(PROMPT, { ...config, seed }));
  const prompt = generator.encode(PROMPT).length;
  const fed = await fedBy(generator, async () => {
    for (const [at, seed] of [1, 2].entries()) {
      const { ids, text } = await generator.generate(PROMPT, { ...config, seed }, { cache });
      assert.deepEqual([ids, text], [plain[at]!.ids, plain[at]!.text]);
    }
  });
  assert.deepEqual(fed, [prompt, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
  const next = await fedBy(generator, () => generator.nextTokens(PROMPT, { cache }));
  assert.deepEqual(next, []);
});

test("several texts take each step together, and are those of their seeds", async () => {
  const generator = await load("fp32");
  const config = { maxNewTokens: 6, topK: 3, ignoreEos: true, seed: 5 };
  const told = ["", "", ""];
  const cache = generator.newCache();
  const texts: GenerationResult[] = [];
  const write = async (): Promise<void> => {
    const onText = (index: number, piece: string): void => void (told[index] += piece);
    texts.push(...(await generator.generateTexts(PROMPT, 3, config, { cache, onText })));
  };
  const prompt = generator.encode(PROMPT).length;
  assert.deepEqual(await fedBy(generator, write), [prompt, 1, 1, 1, 1, 1]);
  assert.deepEqual(
    told,
    texts.map(({ text }) => text),
  );
  assert.equal(texts[0]!.seed, 5);
  for (const { seed, ids, finishReason } of texts) {
    const alone = await generator.generate(PROMPT, { ...config, seed: seed! });
    assert.deepEqual([ids, finishReason], [alone.ids, "length"]);
  }
  // The cache still has the prompt, and its logits.
  assert.deepEqual(await fedBy(generator, () => generator.nextTokens(PROMPT, { cache })), []);
});

for (const name of ["int4", "int8", "portable", "cache-float16", "cache-int8"]) {
  test(`${name}: texts together are about as likely as alone`, async () => {
    const generator = await load(name);
    const config = { maxNewTokens: 5, ignoreEos: true, logprobs: true, doSample: false };
    const [one, two] = await generator.generateTexts(PROMPT, 2, config);
    assert.deepEqual([one!.ids, one!.logprobs], [two!.ids, two!.logprobs]);
    const alone = await generator.generate(PROMPT, config);
    assert.equal(one!.ids[0], alone.ids[0]);
    assert.ok(Math.abs(one!.logprobs![0]! - alone.logprobs![0]!) < 1e-6);
    // Several rows may round in another place than one.
    const next = await generator.nextTokens([...generator.encode(PROMPT), one!.ids[0]!], 5);
    const same = next.find(({ id }) => id === one!.ids[1]);
    assert.ok(same && Math.abs(Math.log(same.probability) - one!.logprobs![1]!) < 0.7);
  });
}

test("texts that end early wait for the others; all of them can be ended", async () => {
  const generator = await load("fp32");
  const alone = [];
  const config = {
    maxNewTokens: 12,
    topK: 5,
    ignoreEos: true,
    seed: 3,
    stopStrings: [" the", "."],
  };
  const texts = await generator.generateTexts(PROMPT, 4, config);
  for (const { seed } of texts) {
    alone.push(await generator.generate(PROMPT, { ...config, seed: seed! }));
  }
  assert.deepEqual(
    texts.map(({ ids, text, finishReason }) => ({ ids, text, finishReason })),
    alone.map(({ ids, text, finishReason }) => ({ ids, text, finishReason })),
  );
  assert.ok(new Set(texts.map(({ ids }) => ids.length)).size > 1);
  const control = new AbortController();
  const ended = await generator.generateTexts(PROMPT, 2, config, {
    signal: control.signal,
    onText: () => control.abort(),
  });
  assert.ok(ended.some(({ finishReason }) => finishReason === "cancelled"));
  await assert.rejects(generator.generateTexts(PROMPT, 0), /^GenerationError: count is 0; it must/);
});

test("texts that do not fit the context together come one after another", async () => {
  const generator = await load("fp32");
  const prompt = slide.prompt;
  const config = {
    maxNewTokens: slide.ids.length,
    ignoreEos: true,
    contextOverflow: "slide",
  } as const;
  const [one, two] = await generator.generateTexts(prompt, 2, config);
  assert.deepEqual([one!.ids, two!.ids], [slide.ids, slide.ids]);
});

test("a text slides past the context in a cache, and what is left serves the next prompt", async () => {
  const generator = await load("fp32");
  const cache = generator.newCache();
  const { prompt, ids } = slide;
  const config = { maxNewTokens: ids.length, ignoreEos: true, contextOverflow: "slide" } as const;
  const slid = await generator.generate(prompt, config, { cache });
  assert.deepEqual(slid.ids, ids);
  const begun = await generator.generate(prompt, { ...config, maxNewTokens: 4 }, { cache });
  assert.deepEqual(begun.ids, ids.slice(0, 4));
});

test("a cache in use, or of another package, is refused in a line", async () => {
  const generator = await load("fp32");
  const cache = generator.newCache();
  const stream = generator.stream(PROMPT, { maxNewTokens: 5 }, { cache });
  await stream.next();
  await assert.rejects(generator.nextTokens(PROMPT, { cache }), (error) =>
    assertOneLine(error, GenerationError, /^the cache is in use by another call; wait for it/),
  );
  await stream.return();
  assert.equal((await generator.nextTokens(PROMPT, { cache, k: 3 })).length, 3);
  const other = await load("int4");
  await assert.rejects(other.nextTokens(PROMPT, { cache }), /the cache is of another package/);
});

test("options have the model's probability and the one that they are drawn with", async () => {
  const generator = await load("fp32");
  const plain = await generator.nextTokens(PROMPT, 12);
  assert.ok(plain.every(({ probability, drawn }) => Math.abs(probability - drawn) < 1e-9));
  const cut = await generator.nextTokens(PROMPT, { k: 12, topK: 4, temperature: 0.5 });
  assert.deepEqual(
    cut.map(({ id, probability }) => [id, probability]),
    plain.map(({ id, probability }) => [id, probability]),
  );
  const squares = cut.slice(0, 4).map(({ probability }) => probability ** 2);
  const whole = squares.reduce((sum, square) => sum + square, 0);
  for (const [at, { drawn }] of cut.entries()) {
    const expected = at < 4 ? squares[at]! / whole : 0;
    assert.ok(Math.abs(drawn - expected) < 1e-6, `${at}: ${drawn}`);
  }
  const [likely, second] = await generator.nextTokens(PROMPT, { temperature: 0 });
  assert.deepEqual([likely!.drawn, second!.drawn], [1, 0]);
  await assert.rejects(
    generator.nextTokens(PROMPT, { topP: 2 }),
    /^GenerationError: topP is 2; it/,
  );
  await assert.rejects(generator.nextTokens(PROMPT, { k: 0 }), /k is 0; it must be a whole number/);
});

test("shares of what a setting cuts are 0, and those of the rest sum to 1", () => {
  const logits = Float32Array.from([Math.log(4), Math.log(3), Math.log(2), 0]);
  const all = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1 };
  const of = (change: object) =>
    Array.from(shares(logits, { ...all, ...change }, [0, 1, 2, 3]), (share) => +share.toFixed(6));
  assert.deepEqual(of({}), [0.4, 0.3, 0.2, 0.1]);
  assert.deepEqual(of({ topP: 0.5 }), [0.571429, 0.428571, 0, 0]);
  assert.deepEqual(of({ minP: 0.45 }), [0.444444, 0.333333, 0.222222, 0]);
  assert.deepEqual(of({ topK: 1 }), [1, 0, 0, 0]);
});
