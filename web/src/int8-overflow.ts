/**
 * Whether this processor overflows when ONNX Runtime multiplies signed 8-bit weights: AVX2 without
 * VNNI adds pairs of products in 16 bits, which saturate. ONNX Runtime can make the weights unsigned,
 * which costs speed elsewhere; one sum that would overflow tells. As Python's int8_overflow.py.
 */

import { DATA_TYPE, rawData, writeNode, writeTensor } from "./graph-write.js";
import { fieldOf, joined, numberField, text } from "./protobuf.js";
import type { OrtModule } from "./runtime.js";

const [ROWS, INNER, COLUMNS] = [2, 32, 16];
const [ACTIVATION, WEIGHT] = [255, 127];
const MODEL = { version: 1, graph: 7, opset: 8 };
const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 };
const VALUE = { name: 1, type: 2, tensor: 1, element: 1, shape: 2, dimension: 1, size: 1 };
const OPSET_VERSION = 2;

/** True where the largest possible sum does not come out exact. */
export async function signedWeightsOverflow(ort: OrtModule): Promise<boolean> {
  const session = await ort.InferenceSession.create(probe(), { intraOpNumThreads: 1 });
  try {
    const full = new Uint8Array(ROWS * INNER).fill(ACTIVATION);
    const { y } = await session.run({ a: new ort.Tensor("uint8", full, [ROWS, INNER]) });
    return (y!.data as Int32Array).some((sum) => sum !== ACTIVATION * WEIGHT * INNER);
  } finally {
    await session.release();
  }
}

/** y = A B, for A uint8 [ROWS, INNER] and B int8 [INNER, COLUMNS], a constant. */
function probe(): Uint8Array {
  const weights = rawData(new Uint8Array(INNER * COLUMNS).fill(WEIGHT));
  const graph = [
    ...fieldOf(GRAPH.node, writeNode("MatMulInteger", ["a", "b"], "y")),
    ...fieldOf(GRAPH.name, [text("int8_probe")]),
    ...fieldOf(GRAPH.initializer, writeTensor("b", DATA_TYPE.int8, [INNER, COLUMNS], weights)),
    ...fieldOf(GRAPH.input, value("a", DATA_TYPE.uint8, [ROWS, INNER])),
    ...fieldOf(GRAPH.output, value("y", DATA_TYPE.int32, [ROWS, COLUMNS])),
  ];
  return joined([
    numberField(MODEL.version, 8),
    ...fieldOf(MODEL.opset, [numberField(OPSET_VERSION, 13)]),
    ...fieldOf(MODEL.graph, graph),
  ]);
}

/** A ValueInfoProto. */
function value(name: string, type: number, dims: readonly number[]): Uint8Array[] {
  const shape = dims.flatMap((size) => fieldOf(VALUE.dimension, [numberField(VALUE.size, size)]));
  const tensor = [numberField(VALUE.element, type), ...fieldOf(VALUE.shape, shape)];
  return [
    ...fieldOf(VALUE.name, [text(name)]),
    ...fieldOf(VALUE.type, fieldOf(VALUE.tensor, tensor)),
  ];
}
