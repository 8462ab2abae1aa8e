import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { PackageError } from "../src/errors.js";
import { Tokenizer } from "../src/tokenizer.js";
import { PACKAGES, readExpected } from "./support.js";

const content = readFileSync(`${PACKAGES}fp32/tokenizer.json`);
const tokenizer = new Tokenizer(content, "tokenizer.json");
const { tokenizer: cases } = readExpected();

test("texts have the ids of Hugging Face's tokenizers", () => {
  const texts = cases.filter((one) => one.text !== null);
  assert.ok(texts.length > 200);
  for (const { text, ids } of texts) assert.deepEqual(tokenizer.encode(text!), ids, text!);
});

test("ids have the text that Python gives them, broken UTF-8 included", () => {
  assert.ok(cases.some(({ decoded }) => decoded.includes("\ufffd")));
  for (const { ids, decoded } of cases) assert.equal(tokenizer.decode(ids), decoded);
});

test("streamed pieces are whole characters and add up to the text", () => {
  for (const { text, ids, decoded } of cases) {
    const stream = tokenizer.stream();
    const pieces = [...ids.map((id) => stream.push(id)), stream.finish()];
    assert.equal(pieces.join(""), decoded);
    for (const piece of pieces) {
      assert.ok(piece.isWellFormed());
      if (text !== null) assert.ok(!piece.includes("\ufffd") || text.includes("\ufffd"));
    }
  }
});

test("an emoji of several tokens comes in one piece", () => {
  const ids = tokenizer.encode("🙂");
  assert.ok(ids.length > 1);
  const stream = tokenizer.stream();
  assert.deepEqual(
    ids.map((id) => stream.push(id)),
    [...ids.slice(1).map(() => ""), "🙂"],
  );
});

test("special tokens have a label and no text; padding of the vocabulary has neither", () => {
  const [id] = tokenizer.encode("<|endoftext|>");
  assert.equal(tokenizer.label(id!), "<|endoftext|>");
  assert.equal(tokenizer.decode([id!]), "");
  assert.equal(tokenizer.decode([999_999]), "");
});

test("half a surrogate pair becomes a question mark", () => {
  assert.deepEqual(tokenizer.encode("a\ud83d b\ude42"), tokenizer.encode("a? b?"));
});

test("a damaged tokenizer.json is one line", () => {
  for (const broken of ["", "{", "[]", '{"model": 3}']) {
    assert.throws(
      () => new Tokenizer(new TextEncoder().encode(broken), "https://x/tokenizer.json"),
      (error) =>
        error instanceof PackageError &&
        /^https:\/\/x\/tokenizer.json is no tokenizer that can be read: .+$/.test(error.message),
    );
  }
});
