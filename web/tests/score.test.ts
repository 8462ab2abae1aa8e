/** Python's score_tokens, and which part of a text each token stands for. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { GenerationError } from "../src/index.js";
import { rangesOf, searchedRanges, type Piece } from "../src/token-ranges.js";
import { assertOneLine, loading, readExpected } from "./support.js";

const { packages, slide } = readExpected();
const { load } = loading();
// In quantized graphs a rounding step moves logits by up to a few tenths.
const TOLERANCE: Record<string, number> = { fp32: 1e-3 };

for (const name of ["fp32", "int8", "int4", "portable", "cache-int8"]) {
  test(`${name}: tokens are as likely as in Python`, async () => {
    const { prompt, tokens, alternatives } = packages[name]!.score;
    const tolerance = TOLERANCE[name] ?? 0.5;
    const found = await (await load(name)).scoreTokens(prompt, { alternatives: 5 });
    assert.deepEqual(
      found.map(({ id, text }) => ({ id, text })),
      tokens.map(({ id, text }) => ({ id, text })),
    );
    assert.equal(found.map(({ start, end }) => prompt.slice(start!, end!))[1], found[1]!.text);
    for (const [at, { logprob, rank, alternatives: others }] of found.entries()) {
      if (at === 0) {
        assert.deepEqual([logprob, rank, others], [null, null, []]);
        continue;
      }
      assert.ok(Math.abs(logprob! - tokens[at]!.logprob!) <= tolerance, `${at}: ${logprob}`);
      assert.equal(others.length, 5);
      assert.equal(rank === 1, others[0]!.id === found[at]!.id);
      if (name === "fp32") assert.equal(rank, tokens[at]!.rank);
      for (const [id, expected] of alternatives[at - 1]!) {
        const same = others.find((other) => other.id === id);
        if (name === "fp32") assert.ok(same, `${at}: ${id}`);
        if (same) assert.ok(Math.abs(same.logprob - expected) <= tolerance, `${at}: ${id}`);
      }
    }
  });
}

test("a text of several chunks is scored as token by token", async () => {
  const generator = await load("fp32");
  const prompt = slide.prompt.slice(0, 130); // the last of them would be alone in a chunk
  const scores = await generator.scoreTokens(prompt);
  for (const at of [1, 127, 128, 129]) {
    const logits = await generator.logits(prompt.slice(0, at));
    const peak = logits.reduce((most, logit) => Math.max(most, logit));
    const sum = logits.reduce((all, logit) => all + Math.exp(logit - peak), 0);
    const expected = logits[prompt[at]!]! - peak - Math.log(sum);
    assert.ok(Math.abs(scores[at]!.logprob! - expected) < 1e-3, `${at}`);
  }
  assert.deepEqual([scores[0]!.start, scores[0]!.end], [null, null]);
});

test("one token more than the context is scored, two more are refused", async () => {
  const generator = await load("fp32");
  const { contextLength } = generator.manifest.architecture;
  const ids = Array.from({ length: contextLength + 2 }, (_, at) => at);
  const scores = await generator.scoreTokens(ids.slice(1));
  assert.equal(scores.length, contextLength + 1);
  assert.ok(scores.slice(1).every(({ logprob }) => Number.isFinite(logprob)));
  await assert.rejects(
    generator.scoreTokens(ids),
    /the prompt has 514 tokens; the model's context/,
  );
  const [lone, ...more] = await generator.scoreTokens([5]);
  assert.deepEqual([lone!.id, lone!.logprob, lone!.rank, more.length], [5, null, null, 0]);
});

test("bad settings are a line, and a signal ends the work", async () => {
  const generator = await load("fp32");
  await assert.rejects(generator.scoreTokens("The man", { alternatives: -1 }), (error) =>
    assertOneLine(error, GenerationError, /^alternatives is -1; it must be a whole/),
  );
  const stopped = AbortSignal.abort(new Error("enough"));
  await assert.rejects(generator.scoreTokens("The man sat", { signal: stopped }), /enough/);
  await assert.rejects(generator.nextTokens("The man sat", { signal: stopped }), /enough/);
  await assert.rejects(generator.attention("The man sat", { signal: stopped }), /enough/);
});

test("the tokens of any text lie in it, in order and without gaps", async () => {
  const generator = await load("fp32");
  for (const text of [
    "It's 🙂 naïve—日本語 עברית, 👨‍👩‍👧‍👦!",
    "a\ud800b",
    "  two  spaces\n\n\tand more ",
    "<|endoftext|>Once<|endoftext|> upon",
  ]) {
    const tokens = generator.tokenize(text);
    let reached = 0;
    for (const { text: label, start, end } of tokens) {
      assert.ok(start! <= reached && end! > start!, `${label} of ${text}`);
      const part = text.slice(start!, end!).replace("\ud800", "?"); // no text
      if (!label.includes("\ufffd")) assert.equal(part, label);
      reached = Math.max(reached, end!);
    }
    assert.equal(reached, text.length);
  }
  const [first, second] = generator.tokenize("<|endoftext|>Once", { parseSpecial: true });
  assert.deepEqual([first!.start, first!.end, second!.start], [0, 13, 13]);
});

test("tokens that are no bytes of the text are looked for in it", () => {
  const bytes = (text: string, special = false): Piece => ({
    bytes: new TextEncoder().encode(text),
    special,
  });
  assert.deepEqual(rangesOf("ab c", [bytes("<s>", true), bytes(" ab"), bytes(" c")]), [
    [0, 0],
    [0, 2],
    [2, 4],
  ]);
  assert.equal(rangesOf("Ab", [bytes("ab")]), null);
  assert.equal(rangesOf("ab", [bytes("a")]), null);
  assert.deepEqual(searchedRanges("one  two", ["[CLS]", "one", "two", "[SEP]"]), [
    [0, 0],
    [0, 3],
    [3, 8],
    [8, 8],
  ]);
});
