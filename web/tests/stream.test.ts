/** How texts come, what they bring, and how they end, on WebAssembly in Node. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { GenerationError, Generator, type GenerationConfig } from "../src/index.js";
import { inMemory, loading, MEMORY, readExpected } from "./support.js";

const expected = readExpected();

const { load, packageUrl } = loading();

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
  setTimeout(() => abort.abort());
  const config = { maxNewTokens: 400, ignoreEos: true };
  const { finishReason } = await generator.generate("The", config, { signal: abort.signal });
  assert.equal(finishReason, "cancelled");
});

test("a stream that is left early leaves the generator as it was", async () => {
  const generator = await load("int4");
  const stream = generator.stream("The old man", { maxNewTokens: 50 });
  assert.throws(() => stream.result, GenerationError);
  let shown = "";
  for await (const piece of stream) {
    shown = piece;
    break;
  }
  const { text, finishReason } = stream.result;
  assert.equal(finishReason, "cancelled");
  assert.ok(shown !== "" && text!.startsWith(shown));
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
  const url = packageUrl("int4");
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

test("events have the ids, the log-probabilities and the alternatives of the text", async () => {
  const generator = await load("fp32");
  const config = { maxNewTokens: 6, ignoreEos: true, logprobs: true, topLogprobs: 3 };
  const stream = generator.events(EMOJI, config);
  const events = [];
  for await (const event of stream) events.push(event);
  const { text, ids, logprobs, topLogprobs } = stream.result;
  assert.equal(events.map((event) => event.text).join(""), text);
  assert.deepEqual(
    events.flatMap((event) => event.ids),
    ids,
  );
  assert.deepEqual(
    events.flatMap((event) => event.logprobs),
    logprobs,
  );
  assert.deepEqual(
    events.flatMap((event) => event.topLogprobs),
    topLogprobs,
  );
  for (const [at, alternatives] of topLogprobs!.entries()) {
    assert.deepEqual(
      [alternatives.length, alternatives[0]],
      [3, { id: ids[at], logprob: logprobs![at] }],
    );
  }
});

test("a text ends when its time is over", async () => {
  const generator = await load("int4");
  const config = { maxNewTokens: 400, ignoreEos: true, maxTime: 0.1 };
  const { finishReason, ids, text } = await generator.generate("The old man", config);
  assert.equal(finishReason, "time");
  assert.ok(ids.length < 400);
  assert.equal(text, generator.tokenizer!.decode(ids));
});

test("settings that change logits change the text, and not the logits", async () => {
  const generator = await load("int4");
  const { greedy } = expected.packages["int4"]!;
  const config = { maxNewTokens: 12, ignoreEos: true, logprobs: true };
  const plain = await generator.generate(greedy.prompt, config);
  const [first] = plain.ids;
  const other = await generator.generate(greedy.prompt, { ...config, suppressTokens: [first!] });
  assert.ok(!other.ids.includes(first!));
  assert.ok(other.logprobs![0]! < plain.logprobs![0]!);
  const none = { ...config, suppressTokens: Array.from({ length: 8192 }, (_, id) => id) };
  await assert.rejects(generator.generate(greedy.prompt, none), /^GenerationError: every token is/);
  const same = { ...config, repetitionPenalty: 1, noRepeatNgramSize: 0, logitBias: {} };
  assert.deepEqual((await generator.generate(greedy.prompt, same)).ids, plain.ids);
});

test("what a package sets changes its texts, and not its self-test", async () => {
  const { greedy } = expected.packages["int4"]!;
  const own = { suppress_tokens: greedy.ids.slice(0, 1), min_new_tokens: 3, max_new_tokens: 5 };
  const file = { "generation_config.json": JSON.stringify({ ...own, logit_bias: { 7: 20 } }) };
  const generator = await Generator.load(MEMORY, inMemory("int4", () => {}, file).options);
  assert.deepEqual(generator.generationConfig.logitBias, [[[7], 20]]);
  const { ids } = await generator.generate(greedy.prompt);
  assert.deepEqual(ids, [7, 7, 7, 7, 7]);
  const other = { suppressTokens: [], logitBias: {}, ignoreEos: true };
  assert.deepEqual((await generator.generate(greedy.prompt, other)).ids, greedy.ids.slice(0, 5));
  assert.deepEqual(await generator.selfTest(), []);
  await generator.dispose();
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
