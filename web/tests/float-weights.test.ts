/** Matrices as floats are what MatMulNBits computes with, whatever their sizes are. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { withFloatWeights } from "../src/float-weights.js";
import { readNode } from "../src/graph-file.js";
import { GRAPH, graphsOf } from "../src/graph-edit.js";
import { Generator } from "../src/index.js";
import { bytesOf, fieldsOf } from "../src/protobuf.js";
import { loading, PACKAGES } from "./support.js";

const { packageUrl } = loading();
const PROMPT = Array.from({ length: 24 }, (_, at) => (at * 37 + 11) % 101);
// WebAssembly's two kernels differ by the order of their sums; native ones round what is multiplied.
const TOLERANCE = { floats: 1e-4, native: 0.1 };

function operators(graph: Uint8Array): string[] {
  return graphsOf(graph)
    .flatMap((inner) => [...fieldsOf(inner)])
    .filter(([number]) => number === GRAPH.node)
    .map(([, value]) => readNode(bytesOf(value)).operator);
}

for (const name of ["odd-int4", "odd-int8", "odd-int4-small", "odd-untied"]) {
  test(`${name}: floats, bits and onnxruntime-node agree`, async (t) => {
    const graph = readFileSync(`${PACKAGES}${name}/model.onnx`);
    const count = (found: string[], operator: string): number =>
      found.filter((one) => one === operator).length;
    const before = operators(graph);
    const after = operators(withFloatWeights(graph));
    const products = count(before, "MatMulNBits");
    assert.ok(products > 0);
    assert.equal(count(after, "MatMulNBits"), 0);
    assert.equal(count(after, "FusedMatMul"), products);

    const logits: Float32Array[] = [];
    for (const options of [
      { provider: "wasm", floatWeights: false },
      { provider: "wasm" },
      { provider: "cpu" },
    ] as const) {
      const generator = await Generator.load(packageUrl(name), { ...options, threads: 1 });
      logits.push(await generator.logits(PROMPT));
      assert.deepEqual(await generator.selfTest(), []);
      await generator.dispose();
    }
    const [bits, ...others] = logits as [Float32Array, Float32Array, Float32Array];
    const spread = Math.sqrt(bits.reduce((sum, one) => sum + one ** 2, 0) / bits.length);
    const [floats, native] = others.map(
      (found) => Math.max(...found.map((one, id) => Math.abs(one - bits[id]!))) / spread,
    ) as [number, number];
    t.diagnostic(`of a standard deviation: floats ${floats}, native ${native}`);
    assert.ok(floats < TOLERANCE.floats && native < TOLERANCE.native);
  });
}
