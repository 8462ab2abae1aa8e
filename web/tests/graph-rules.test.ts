/** What Python, TypeScript and Kotlin share about what graphs are made of: spec/graphs.json. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { readGraphFile } from "../src/graph-file.js";
import { COMPILED, DOMAINS, WITH_GRAPHS } from "../src/graph-rules.js";
import { Generator, PackageError } from "../src/index.js";
import { UnreadableError } from "../src/untrusted.js";
import { assertOneLine, inMemory, MEMORY, spec } from "./support.js";

interface GraphCase {
  readonly name: string;
  readonly graph: string;
  readonly names: string;
}

const graphs = spec<{
  with_graphs: string[];
  compiled: string[];
  domains: string[];
  refused: GraphCase[];
  borne: GraphCase[];
}>("graphs");

const bytes = ({ graph }: GraphCase): Uint8Array => new Uint8Array(Buffer.from(graph, "base64"));

test("the rule is the one of the spec", () => {
  assert.deepEqual([...WITH_GRAPHS].sort(), graphs.with_graphs);
  assert.deepEqual([...DOMAINS].sort(), graphs.domains);
  assert.deepEqual([COMPILED], graphs.compiled);
});

for (const one of graphs.refused) {
  test(`a graph is refused: ${one.name}`, () => {
    assert.throws(
      () => readGraphFile(bytes(one), null),
      (error) => {
        assert.ok(error instanceof UnreadableError, `${error}`);
        assert.ok(error.message.includes(one.names), error.message);
        assert.match(error.message, /^[\x20-\x7e]+$/);
        return true;
      },
    );
  });
}

for (const one of graphs.borne) {
  test(`a graph is borne: ${one.name}`, () => {
    assert.deepEqual(readGraphFile(bytes(one), null).locations, new Set());
  });
}

test("a package with such a graph is refused in one line, before ONNX Runtime sees it", async () => {
  const loop = graphs.refused.find(({ name }) => name === "Loop")!;
  const { options } = inMemory("int4", () => {}, { "model.onnx": bytes(loop) });
  await assert.rejects(Generator.load(MEMORY, options), (error) =>
    assertOneLine(
      error,
      PackageError,
      /model.onnx is no graph that can be read: it has a node "Loop"/,
    ),
  );
});
