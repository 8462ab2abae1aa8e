/** What Python, TypeScript and Kotlin share about generating: spec/*.json. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseGenerationConfig, settingsOf, type GenerationConfig } from "../src/config.js";
import { decode, type Begin } from "../src/decode.js";
import { GenerationError, PackageError } from "../src/index.js";
import { nextPart, PREFILL_CHUNK } from "../src/prefill.js";
import * as processors from "../src/processors.js";
import { TextRequest } from "../src/request.js";
import { candidates, makeChooser } from "../src/sampling.js";
import { fileKey, RULES, SETTING_NAMES, type SettingName } from "../src/settings.js";
import { SplitMix64, uniformAt } from "../src/splitmix64.js";
import { StopStrings } from "../src/stopping.js";
import { fitted, slid } from "../src/window.js";
import { byteLevelStream, ScriptedSequence } from "./scripted.js";
import { assertOneLine, spec } from "./support.js";

type Named = Readonly<Record<string, any>>;
const NAMES = new Map(SETTING_NAMES.map((name) => [fileKey(name), name]));

function tsName(name: string): SettingName {
  const found = NAMES.get(name);
  assert.ok(found, `spec/settings.json has ${name}, which this runtime does not know`);
  return found;
}

/** Settings by the names that JSON has, as a caller here gives them. */
function configOf(settings: Named): GenerationConfig {
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [tsName(key), value]));
}

/** Matches the name of a setting in JSON, and here. */
function naming(word: string): RegExp {
  return new RegExp(`${word}|${NAMES.get(word) ?? word}`);
}

const settings = spec<{ settings: Named[]; cases: Named[] }>("settings");

/** What a generation does with the package's and the caller's settings, by the spec's names. */
function effective(one: Named): Named {
  const file = new TextEncoder().encode(JSON.stringify(one["package"]));
  const defaults = parseGenerationConfig(file, "generation_config.json");
  const found = settingsOf(configOf(one["caller"]), defaults);
  const named = SETTING_NAMES.map((name) => [fileKey(name), found[name] ?? null]);
  return { ...Object.fromEntries(named), samples: found.samples };
}

for (const one of settings.cases) {
  test(`settings: ${one["name"]}`, () => {
    const word: string | undefined = one["refused"];
    if (word !== undefined) {
      const kind = word in one["package"] ? PackageError : GenerationError;
      assert.throws(
        () => effective(one),
        (error) => assertOneLine(error, kind, naming(word)),
      );
      return;
    }
    const found = effective(one);
    for (const [key, value] of Object.entries(one["expect"])) {
      assert.deepEqual(found[key], value, key);
    }
  });
}

test("the settings are those of the table, with its defaults", () => {
  assert.deepEqual(
    [...NAMES.keys()],
    settings.settings.map(({ name }) => name),
  );
  for (const { name, default: byDefault, package: mayBring, draws = false } of settings.settings) {
    const rule = RULES[tsName(name)];
    // Whether it samples is open in the table: it depends on the other settings.
    if (name !== "do_sample") assert.deepEqual(rule.default ?? null, byDefault, name);
    assert.deepEqual([rule.package, rule.draws], [mayBring, draws], name);
  }
});

const OTHER_TYPES: Readonly<Record<string, unknown[]>> = {
  integer: [1.5, "1", true, [1], null],
  number: ["1", true, NaN, Infinity, [1], null],
  boolean: [0, "true", [true], null],
  ids: ["1", -1, 1.5, true, [[1]], [-1], null],
  sequences: [5, [5], [[]], [["a"]], "a", null],
  biases: [5, [5], [[1]], [[[], 1]], { a: 1 }, [[1, "a"]], [[1, NaN]], null],
  strings: ["", [""], 5, [5], null],
  word: [5, true, "other", null],
};

for (const { name, type, least, above, most } of settings.settings) {
  test(`settings: what ${name} may be`, () => {
    const step = type === "integer" ? 1 : 1e-9;
    const take = (value: unknown) => settingsOf({ [tsName(name)]: value })[tsName(name)];
    const taken = [least, above !== undefined && above + step, most].filter(Number.isFinite);
    for (const value of taken) assert.equal(take(value), value);
    const beyond = [least - step, above, most + step].filter(Number.isFinite);
    for (const value of [...beyond, ...OTHER_TYPES[type]!]) {
      assert.throws(
        () => take(value),
        (error) => assertOneLine(error, GenerationError, new RegExp(`^${tsName(name)} is `)),
      );
    }
  });
}

const logitsSpec = spec<{ logits: number[]; cases: Named[] }>("processors");

for (const { setting, name, value, ids, prompt, expect } of logitsSpec.cases) {
  test(`processors: ${setting}: ${name}`, () => {
    const [least, eosTokenId] = setting === "min_new_tokens" ? value : [value];
    const config = { ...configOf({ [setting]: least }), ...(eosTokenId && { eosTokenId }) };
    const all = settingsOf(config);
    const logits = Float32Array.from(logitsSpec.logits);
    for (const process of processors.processorsOf(all, all.eosTokenId ?? [], prompt)) {
      process(ids, logits);
    }
    assertClose(
      logits,
      (expect as (number | null)[]).map((logit) => logit ?? -Infinity),
      1e-6,
    );
  });
}

function assertClose(found: ArrayLike<number>, expected: readonly number[], tolerance: number) {
  assert.equal(found.length, expected.length);
  for (const [at, value] of expected.entries()) {
    const same = found[at] === value || Math.abs(found[at]! - value) <= tolerance;
    assert.ok(same, `number ${at}: ${found[at]}, not ${value}`);
  }
}

const sampling = spec<
  Record<"distributions" | "outputs" | "uniforms" | "draws", Named[]> & {
    weights: number[];
  }
>("sampling");

for (const one of sampling.distributions) {
  test(`sampling: ${one["name"]}`, () => {
    const logits = Float32Array.from(sampling.weights, Math.log);
    const { ids, cumulative, whole } = candidates(logits, settingsOf(configOf(one["settings"])));
    const found = new Float64Array(logits.length);
    for (const [at, id] of ids.entries()) {
      found[id] = (cumulative[at]! - (cumulative[at - 1] ?? 0)) / whole;
    }
    const sum = one["shares"].reduce((all: number, share: number) => all + share, 0);
    assertClose(
      found,
      one["shares"].map((share: number) => share / sum),
      1e-6,
    );
  });
}

test("sampling: the outputs and uniform numbers of a seed", () => {
  for (const { seed, hex } of sampling.outputs) {
    const random = new SplitMix64(seed);
    for (const output of hex) assert.equal(random.next(), BigInt(`0x${output}`));
  }
  for (const { seed, number, uniform } of sampling.uniforms) {
    assert.equal(uniformAt(seed, number), uniform);
  }
});

for (const { name, settings: asked, seed, tokens, logits } of sampling.draws) {
  test(`sampling: draws: ${name}`, () => {
    const choose = makeChooser(settingsOf(configOf({ ...asked, do_sample: true })), seed);
    const found = tokens.map((_: number, at: number) => choose(Float32Array.from(logits), at));
    assert.deepEqual(found, tokens);
  });
}

for (const one of spec<{ cases: Named[] }>("stopping").cases) {
  test(`stopping: ${one["name"]}`, () => {
    const stops = new StopStrings(one["stop_strings"], one["include_stop_str"]);
    const shown = one["pieces"].map((piece: string) => stops.push(piece));
    assert.deepEqual([shown, stops.found], [one["shown"], one["found"]]);
    assert.equal(stops.finish(), one["rest"]);
  });
}

const text = spec<{ vocabulary: string[]; special: number[]; cases: Named[] }>("detokenizing");

for (const { name, ids, pieces, rest } of text.cases) {
  test(`detokenizing: ${name}`, () => {
    const stream = byteLevelStream(text.vocabulary, text.special);
    assert.deepEqual(
      ids.map((id: number) => stream.push(id)),
      pieces,
    );
    assert.equal(stream.finish(), rest);
  });
}

const prefill = spec<{ chunk: number; cases: Named[] }>("prefill");

test("prefill: the usual chunk", () => assert.equal(PREFILL_CHUNK, prefill.chunk));

for (const { name, start, end, chunk, parts } of prefill.cases) {
  test(`prefill: ${name}`, () => {
    const found: [number, number][] = [];
    for (let at: number = start; at < end && found.length <= parts.length;) {
      found.push(nextPart(at, end, chunk));
      at = found.at(-1)![1];
    }
    assert.deepEqual(found, parts);
  });
}

const decoding = spec<
  Record<"cases" | "refused" | "windows" | "prompts", Named[]> & {
    vocabulary: string[];
    special: number[];
    eos_token_ids: number[];
  }
>("decoding");

async function run({ prompt, capacity, settings: asked }: Named): Promise<TextRequest> {
  const { vocabulary, special, eos_token_ids: eosIds } = decoding;
  const all = settingsOf(configOf(asked));
  const slides = all.contextOverflow === "slide";
  const detokenizer = byteLevelStream(vocabulary, special);
  const model = { vocabSize: vocabulary.length, eosIds, detokenizer };
  const read = slides ? fitted(prompt, capacity, all.keep) : prompt;
  const request = new TextRequest(read, all, model);
  let sequence: ScriptedSequence | undefined;
  const events = [];
  const begin: Begin = async (_, wanted) => {
    sequence = new ScriptedSequence(Math.min(wanted, capacity), vocabulary.length);
    return { sequence, logits: null };
  };
  for await (const event of decode(request, begin)) events.push(event);
  assert.ok(sequence!.disposed);
  assert.deepEqual(events, request.events);
  return request;
}

for (const one of decoding.cases) {
  test(`decoding: ${one["name"]}`, async () => {
    const { ids, pieces, finish_reason: reason, logprobs = [], top_logprobs = [] } = one["expect"];
    const { events, newIds, finishReason } = await run(one);
    assert.deepEqual(newIds, ids);
    assert.deepEqual(
      events.map((event) => event.text),
      pieces,
    );
    assert.deepEqual(
      events.flatMap((event) => event.ids),
      ids,
    );
    assert.equal(finishReason, reason);
    assertClose(
      events.flatMap((event) => event.logprobs),
      logprobs,
      1e-5,
    );
    const alternatives = events.flatMap((event) => event.topLogprobs);
    assert.equal(alternatives.length, top_logprobs.length);
    for (const [at, found] of alternatives.entries()) {
      const expected: [number, number][] = top_logprobs[at];
      assert.deepEqual(
        found.map(({ id }) => id),
        expected.map(([id]) => id),
      );
      assertClose(
        found.map(({ logprob }) => logprob),
        expected.map(([, p]) => p),
        1e-5,
      );
    }
  });
}

for (const one of decoding.refused) {
  test(`decoding: refused: ${one["name"]}`, () =>
    assert.rejects(run(one), (error) =>
      assertOneLine(error, GenerationError, naming(one["refused"])),
    ));
}

test("decoding: what a window and a context keep", () => {
  for (const { ids, keep, expect } of decoding.windows) assert.deepEqual(slid(ids, keep), expect);
  for (const { ids, capacity, keep, expect } of decoding.prompts) {
    assert.deepEqual(fitted(ids, capacity, keep), expect);
  }
});
