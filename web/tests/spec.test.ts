/** The rules that Python, TypeScript and Kotlin share: spec/*.json. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, after, test } from "node:test";

import { parseGenerationConfig, settingsOf, type GenerationConfig } from "../src/config.js";
import { Generator, GenerationError, PackageError } from "../src/index.js";
import { Tokenizer } from "../src/tokenizer.js";
import { assertOneLine, inMemory, MEMORY, ROOT } from "./support.js";

const NAMES: Readonly<Record<string, keyof GenerationConfig>> = {
  max_new_tokens: "maxNewTokens",
  do_sample: "doSample",
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  seed: "seed",
  stop_strings: "stopStrings",
};

interface SettingsCase {
  readonly name: string;
  readonly package: object;
  readonly caller: Readonly<Record<string, unknown>>;
  readonly expect?: Readonly<Record<string, unknown>>;
  readonly refused?: string;
}

type Change = ["set", string[], unknown] | ["delete", string[]];

interface ManifestCase {
  readonly name: string;
  readonly change: Change[];
  readonly names: string;
  /** Only a runtime that has the folder before it can tell. */
  readonly folder?: boolean;
}

function spec<T>(name: string): T {
  return JSON.parse(readFileSync(`${ROOT}spec/${name}.json`, "utf8")) as T;
}

const settings = spec<{ defaults: Record<string, unknown>; cases: SettingsCase[] }>("settings");
const manifests = spec<{ refused: ManifestCase[]; borne: ManifestCase[] }>("manifests");

function tsName(name: string): keyof GenerationConfig {
  const found = NAMES[name];
  assert.ok(found, `spec/settings.json has ${name}, which this test does not know`);
  return found;
}

/** What a generation does with the package's and the caller's settings, by the spec's names. */
function effective(one: SettingsCase): Record<string, unknown> {
  const file = new TextEncoder().encode(JSON.stringify(one.package));
  const defaults = parseGenerationConfig(file, "generation_config.json");
  const caller = Object.entries(one.caller).map(([key, value]) => [tsName(key), value]);
  const found = settingsOf(Object.fromEntries(caller), defaults);
  const named = Object.entries(NAMES).map(([key, name]) => [
    key,
    found[name as keyof typeof found],
  ]);
  return { ...Object.fromEntries(named), samples: found.samples };
}

test("the defaults are the spec's", () => {
  const found = effective({ name: "", package: {}, caller: {} });
  for (const [key, value] of Object.entries(settings.defaults))
    assert.equal(found[key], value, key);
});

for (const one of settings.cases) {
  test(`settings: ${one.name}`, () => {
    if (one.refused !== undefined) {
      const words = new RegExp(`${one.refused}|${tsName(one.refused)}`);
      const kind = one.refused in one.package ? PackageError : GenerationError;
      assert.throws(
        () => effective(one),
        (error) => assertOneLine(error, kind, words),
      );
      return;
    }
    const found = effective(one);
    for (const [key, value] of Object.entries(one.expect!)) assert.equal(found[key], value, key);
  });
}

function withChanges(changes: readonly Change[]): (manifest: any) => void {
  return (manifest) => {
    for (const [what, path, value] of changes) {
      const last = path.at(-1)!;
      const parent = path.slice(0, -1).reduce((object, key) => object[key], manifest);
      if (what === "set") parent[last] = value;
      else delete parent[last];
    }
  };
}

let good: Generator;
before(async () => {
  good = await Generator.load(MEMORY, inMemory("int4").options);
});
after(() => good.dispose());

// Numbers that are bounded before anything is asked for that they say.
const BOUNDED = /^(num_layers|head_size|hidden_size|context_length|vocab_size|files|bytes|sha256)$/;

for (const { name, change, names, folder } of manifests.refused) {
  if (folder) continue;
  test(`a manifest is refused: ${name}`, async () => {
    const { options, asked } = inMemory("int4", withChanges(change));
    const words = new RegExp(names.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    await assert.rejects(Generator.load(MEMORY, options), (error) =>
      assertOneLine(error, PackageError, words),
    );
    if (BOUNDED.test(names)) assert.deepEqual(asked, ["manifest.json"]);
  });
}

for (const { name, change } of manifests.borne) {
  test(`a manifest is borne: ${name}`, async () => {
    const generator = await Generator.load(MEMORY, inMemory("int4", withChanges(change)).options);
    const config = { maxNewTokens: 3, ignoreEos: true };
    const { ids } = await generator.generate("The old man", config);
    assert.deepEqual(ids, (await good.generate("The old man", config)).ids);
    await generator.dispose();
  });
}

test("a file that is listed and not read is not asked for", async () => {
  const unread = { bytes: 1, sha256: "0".repeat(64) };
  const { options, asked } = inMemory("int4", (manifest) => (manifest.files["more.onnx"] = unread));
  await (await Generator.load(MEMORY, options)).dispose();
  assert.deepEqual(asked.toSorted(), [
    "generation_config.json",
    "manifest.json",
    "model.onnx",
    "tokenizer.json",
  ]);
});

interface TokenizerCase {
  readonly name: string;
  readonly tokenizer: object;
  readonly encode: {
    readonly text: string;
    readonly ids: number[];
    readonly without_special: number[];
    readonly plain: number[];
    readonly decoded: string;
  }[];
  readonly decode: { readonly ids: number[]; readonly decoded: string }[];
}

for (const { name, tokenizer: file, encode, decode } of spec<{ tokenizers: TokenizerCase[] }>(
  "tokenizers",
).tokenizers) {
  const make = () =>
    new Tokenizer(new TextEncoder().encode(JSON.stringify(file)), "tokenizer.json");

  test(`tokenizer: ${name}: texts have transformers' ids`, () => {
    const tokenizer = make();
    for (const { text, ids, without_special: without, plain } of encode) {
      assert.deepEqual(tokenizer.encode(text), ids, text);
      assert.deepEqual(tokenizer.encode(text, { addSpecialTokens: false }), without, text);
      assert.deepEqual(tokenizer.encode(text, { parseSpecial: false }), plain, text);
    }
  });

  test(`tokenizer: ${name}: ids have transformers' text, whole and in pieces`, () => {
    const tokenizer = make();
    for (const { ids, decoded } of [...encode, ...decode]) {
      assert.equal(tokenizer.decode(ids), decoded);
      const stream = tokenizer.stream();
      const pieces = [...ids.map((id) => stream.push(id)), stream.finish()];
      assert.equal(pieces.join(""), decoded);
    }
  });
}
