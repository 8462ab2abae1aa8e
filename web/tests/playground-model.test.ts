/** What the playground is told by a model in this process: cuts, draws, seeds, and ends of calls. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { PlaygroundModel } from "../local/model.js";
import { seeds } from "../src/request.js";
import { loading, readExpected } from "./support.js";

const expected = readExpected();
const { load } = loading();
const never = new AbortController().signal;
const DRAWING = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 7 } as const;
const PROMPT = "The old man sat by the fire and";
const LONG = `${"It was a bright morning. ".repeat(300)}🙂 The old man sat`;

const model = async (name = "fp32") => new PlaygroundModel(await load(name));

test("seeds of several texts are Python's", () => {
  for (const { seed, seeds: theirs } of expected.seeds) assert.deepEqual(seeds(seed, 3), theirs);
  assert.deepEqual(seeds(null, 2), [null, null]);
});

test("next has the options with both probabilities, and what the seed draws is written", async () => {
  const asked = await model();
  const { options, draw, droppedChars } = await asked.next(PROMPT, { ...DRAWING, k: 12 }, never);
  assert.equal(options.length, 12);
  assert.equal(droppedChars, 0);
  const pieces: string[] = [];
  const [text] = await asked.write(PROMPT, { ...DRAWING, n: 1, maxTokens: 1 }, never, (_, piece) =>
    pieces.push(piece),
  );
  assert.equal(text!.text, draw!.text);
  assert.equal(pieces.join(""), text!.text);
  const cold = await asked.next(PROMPT, { ...DRAWING, temperature: 0, k: 3, seed: null }, never);
  assert.deepEqual(
    cold.options.map(({ drawn }) => drawn),
    [1, 0, 0],
  );
  assert.equal(cold.draw, null);
});

test("three texts are those of their seeds, each piece with its number", async () => {
  const asked = await model();
  const told = ["", "", ""];
  const written = await asked.write(
    PROMPT,
    { ...DRAWING, n: 3, maxTokens: 8 },
    never,
    (index, piece) => (told[index] += piece),
  );
  assert.deepEqual(
    told,
    written.map(({ text }) => text),
  );
  assert.equal(new Set(told).size, 3);
  for (const [at, seed] of seeds(DRAWING.seed, 3).entries()) {
    const config = { ...DRAWING, doSample: true, seed: seed!, maxNewTokens: 8 };
    assert.equal(written[at]!.text, (await asked.generator.generate(PROMPT, config)).text);
    assert.equal(written[at]!.finishReason, "length");
  }
});

test("a text is cut between characters, though they have several tokens each", async () => {
  const asked = await model();
  const { contextLength } = asked.generator.manifest.architecture;
  let inside = 0;
  for (const after of ["", "!", " a", "a b", "a b c"]) {
    const text = "🙂".repeat(contextLength) + after;
    const tokens = asked.generator.tokenize(text);
    const cut = tokens.length - contextLength;
    const { end } = tokens[cut - 1]!;
    if (tokens[cut]!.start! < end!) inside++;
    const { count, droppedChars } = await asked.tokenize(text);
    assert.equal(count, tokens.length);
    assert.equal(droppedChars, end);
  }
  assert.ok(inside > 0);
});

test("of a text that is longer than the context, the beginning is left out, and said so", async () => {
  const asked = await model();
  const { contextLength } = asked.generator.manifest.architecture;
  const { count, droppedChars } = await asked.tokenize(LONG);
  assert.ok(count > contextLength && droppedChars > 0 && droppedChars < LONG.length);
  const score = await asked.score(LONG, { alternatives: 2 }, never);
  assert.equal(score.droppedChars, droppedChars);
  assert.equal(score.tokens.length, contextLength);
  assert.deepEqual([score.tokens[0]!.start, score.tokens.at(-1)!.end], [droppedChars, LONG.length]);
  assert.ok(score.perplexity! > 1);
  const next = await asked.next(LONG, { ...DRAWING, k: 3 }, never);
  assert.equal(next.droppedChars, droppedChars);
  const [text] = await asked.write(LONG, { ...DRAWING, n: 1, maxTokens: 5 }, never, () => {});
  assert.ok(text!.text.length > 0); // slides
  const { tokens, weights, layers, heads, ...seen } = await asked.attention(LONG, never);
  assert.ok(weights.length <= 4_000_000);
  assert.equal(weights.length, layers * heads * tokens.length ** 2);
  assert.equal(seen.droppedChars, tokens[0]!.start);
});

test("an empty text begins a text, and has no tokens to look at", async () => {
  const asked = await model();
  assert.deepEqual(await asked.tokenize(""), { count: 0, droppedChars: 0 });
  assert.equal((await asked.next("", { ...DRAWING, k: 2 }, never)).options.length, 2);
  const empty = await asked.score("", { alternatives: 5 }, never);
  assert.deepEqual(empty, { tokens: [], perplexity: null, droppedChars: 0 });
  assert.equal((await asked.attention("", never)).tokens.length, 0);
  const lone = await asked.score("The", { alternatives: 5 }, never);
  assert.deepEqual([lone.tokens.length, lone.perplexity], [1, null]);
});

test("special tokens in a text are text", async () => {
  const { tokens } = await (await model()).score("<|endoftext|>Once", { alternatives: 0 }, never);
  assert.ok(tokens.length > 2);
  assert.equal(tokens.map(({ text }) => text).join(""), "<|endoftext|>Once");
});

test("a call that is aborted ends, before its turn too, and the next one is answered", async () => {
  const asked = await model();
  const control = new AbortController();
  const options = { ...DRAWING, n: 1, maxTokens: 400 };
  const writing = asked.write(PROMPT, options, control.signal, () => control.abort());
  const waiting = asked.score(PROMPT, { alternatives: 1 }, control.signal);
  await assert.rejects(writing, { name: "AbortError" });
  await assert.rejects(waiting, { name: "AbortError" });
  assert.ok((await asked.score(PROMPT, { alternatives: 1 }, never)).perplexity! > 1);
  assert.deepEqual(await asked.selfTest(never), { passed: true, problems: [] });
  await assert.rejects(asked.selfTest(control.signal), { name: "AbortError" });
});

test("what the package is, by part of the model", async () => {
  const { groups, parameters, totalBytes, files, attention, quality } = (await model()).info();
  assert.deepEqual(
    groups.map(({ name }) => name),
    ["embeddings", "attention", "feed-forward", "other"],
  );
  for (const { bits, bytes, parameters: count } of groups.slice(0, 3)) {
    assert.ok(Math.abs((8 * bytes) / count - bits) < 0.01);
    assert.ok(bits > 31 - 16 && bits < 33, `${bits}`); // positions are float16
  }
  assert.ok(parameters > 6e6 && totalBytes > 2e7 && files.length > 5 && attention);
  assert.equal(quality, null);
  const small = (await model("int4")).info().groups.find(({ name }) => name === "attention")!;
  assert.ok(small.bits > 4 && small.bits < 6, `${small.bits}`);
  assert.equal((await model("cache-float16")).info().attention, false);
});
