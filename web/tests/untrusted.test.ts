/** Text that is not ours is read and shown within bounds. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { PackageError } from "../src/errors.js";
import { parseJson, readBody, reason, shown, UnreadableError } from "../src/untrusted.js";
import { assertOneLine } from "./support.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const refused = (content: Uint8Array, message: RegExp) =>
  assert.throws(
    () => parseJson(content),
    (error) => error instanceof UnreadableError && message.test(error.message),
  );

test("JSON has the value that JSON.parse gives", () => {
  for (const text of [
    '{"a": [1, {"a": "}"}, "\\"", "\\\\"], "b": {"a": null}, "\\"a": 1, "\\\\": "x"}',
    ' [ {"":1 , "é":2, "\\u0065":3} , [] ] ',
    '"{\\"a\\":1,\\"a\\":2}"',
    '{"__proto__": 1, "constructor": {"a": ["a", "a", "a"]}}',
    "-1.5e3",
  ]) {
    assert.deepEqual(parseJson(bytes(text)), JSON.parse(text), text);
  }
});

test("a key that an object has twice is refused, however it is written", () => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"a" : 1 , "b": {"c":[{}]}, "a"\n:2}',
    '{"a":1,"\\u0061":2}',
    '[{"é":1,"\\u00e9":2}]',
    '{"x":{"a\\"":1,"a\\u0022":2}}',
    '{"__proto__":1,"__proto__":2}',
  ]) {
    refused(bytes(text), /^an object has the key ".+" twice$/);
  }
});

test("depth, encoding and syntax are refused in words", () => {
  refused(bytes("[".repeat(1e6)), /^it is nested too deeply$/);
  refused(bytes('{"a":'.repeat(1e5) + "1" + "}".repeat(1e5)), /^it is nested too deeply$/);
  refused(Uint8Array.of(0x22, 0xff, 0x22), /^it is not UTF-8$/);
  refused(bytes("\ufeff{}"), /./);
  for (const text of ["", "{", '{"a"', '"', '"\\', "[1,]", "NaN", "{} {}", "'a'", '{"a":1,}']) {
    refused(bytes(text), /./);
  }
});

test("a body is read up to its limit, whatever the server says of its length", async () => {
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(2 ** 16)),
  });
  const response = new Response(endless, { headers: { "content-length": "2" } });
  await assert.rejects(
    readBody(response, 2 ** 20),
    (error) => error instanceof UnreadableError && error.message === "it has more than 1 MB",
  );
  assert.deepEqual(await readBody(new Response("abc"), 3), bytes("abc"));
  assert.deepEqual(await readBody(new Response(null), 3), bytes(""));
});

test("messages are one printable line of bounded length", () => {
  const message = (text: string) => new PackageError(text).message;
  assert.equal(
    message("a\nb\r\t\u001b[2J\u0007\u2028\u202e\u00a0é 🙂"),
    String.raw`a\nb\r\t\u001b[2J\u0007\u2028\u202e\u00a0é 🙂`,
  );
  assert.equal(message("\ud83d"), String.raw`\ud83d`);
  const long = message(`begin${"\n".repeat(1e6)}end`);
  assert.ok(long.length <= 1000 && long.startsWith("begin") && long.endsWith("end"));
});

test("values are shown short, whatever they are", () => {
  const circle: unknown[] = [];
  circle.push(circle);
  let deep: unknown = 1;
  for (let depth = 0; depth < 1e5; depth++) deep = [deep];
  const values = [
    "x".repeat(1e6),
    Array(1e5).fill(1),
    circle,
    deep,
    2n ** 9999n,
    Symbol("s"),
    [1n],
  ];
  for (const value of [...values, () => 1, undefined, NaN, -0, new Date(NaN), new Map()]) {
    assert.ok(shown(value).length <= 81 && shown(value) !== "");
  }
  assert.deepEqual(
    [shown("a\n"), shown([1, "b"]), shown(7n)],
    [String.raw`"a\n"`, '[1,"b"]', "7n"],
  );
});

test("a reason names what stands behind an error", () => {
  const refusedError = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:9"), {
    code: "ECONNREFUSED",
  });
  const failed = new TypeError("fetch failed", { cause: refusedError });
  assert.equal(reason(failed), "fetch failed: connect ECONNREFUSED 127.0.0.1:9");
  const several = Object.assign(new AggregateError([refusedError]), { code: "ECONNREFUSED" });
  assert.equal(
    reason(new TypeError("fetch failed", { cause: several })),
    "fetch failed: ECONNREFUSED",
  );
  const circle: Error & { cause?: unknown } = new Error("round");
  circle.cause = circle;
  assert.equal(reason(circle), "round");
  for (const thrown of [undefined, null, 0, "", {}, new Error("")])
    assert.notEqual(reason(thrown), "");
  assertOneLine(new PackageError(reason(new Error("\u001b[1m x"))), PackageError, /x/);
});
