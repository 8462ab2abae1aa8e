/** What Python, TypeScript and Kotlin share about a package's files: spec/manifests.json, tokenizers.json. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Generator, PackageError } from "../src/index.js";
import { Tokenizer } from "../src/tokenizer.js";
import { assertOneLine, inMemory, MEMORY, spec } from "./support.js";

type Change = ["set", string[], unknown] | ["delete", string[]];

interface ManifestCase {
  readonly name: string;
  readonly change: Change[];
  readonly names: string;
  /** Only a runtime that has the folder before it can tell. */
  readonly folder?: boolean;
}

const manifests = spec<{ refused: ManifestCase[]; borne: ManifestCase[] }>("manifests");

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
