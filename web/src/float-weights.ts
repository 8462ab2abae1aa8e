/**
 * Matrices in blocks of 4 or 8 bits as floats: a fused graph's MatMulNBits becomes DequantizeLinear
 * and a product, in the graph's bytes. ONNX Runtime folds the former on loading, once; WebAssembly's
 * MatMulNBits makes the same floats at every step.
 *
 * The packed matrix [N, blocks, bytes] of MatMulNBits has the bytes of an unsigned tensor
 * [N, blocks * block_size] around 2^(bits - 1), with scales [N, blocks].
 */

import { changed, GRAPH, graphsOf, type Part } from "./graph-edit.js";
import { integersOf, readNode, readTensor, type GraphNode } from "./graph-file.js";
import { DATA_TYPE, rawData, TENSOR, writeNode, writeTensor } from "./graph-write.js";
import { bytesOf, fieldOf, fieldsOf } from "./protobuf.js";
import { UnreadableError } from "./untrusted.js";

const TYPES: Readonly<Record<number, number>> = { 4: DATA_TYPE.uint4, 8: DATA_TYPE.uint8 };
const MICROSOFT = "com.microsoft";
// Floats of one graph, which WebAssembly could not hold beyond it; sizes in a file may be anything.
const MOST_FLOATS = 2 ** 30;

/** A matrix [rows, columns] that a MatMulNBits multiplies by. */
interface Matrix {
  readonly name: string;
  readonly packed: Uint8Array;
  readonly scales: string;
  readonly rows: number;
  readonly columns: number;
  readonly blocks: number;
  readonly blockSize: number;
  readonly bits: number;
}

/**
 * `content`, whose products with matrices in blocks of 4 or 8 bits are products with floats. What
 * is written in another way than gpt2-edge writes it stays as it is.
 */
export function withFloatWeights(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const tensors = new Map<string, Uint8Array>();
  const nodes: Uint8Array[] = [];
  for (const [number, value] of graphsOf(content).flatMap((graph) => [...fieldsOf(graph)])) {
    if (number === GRAPH.node) nodes.push(bytesOf(value));
    else if (number === GRAPH.initializer) {
      tensors.set(readTensor(bytesOf(value)).name, bytesOf(value));
    }
  }
  const written = new Map<string, Part>(); // in place of the node whose first output this is
  const added = new Map<string, Part>(); // initializers
  let count = 0;
  const readers = new Map<string, number>(); // of packed matrices, MatMulNBits left out
  for (const bytes of nodes) {
    const node = readNode(bytes);
    const matrix = matrixOf(node, bytes, tensors);
    for (const name of node.inputs) {
      const isReader = name !== matrix?.name;
      if (tensors.has(name)) readers.set(name, (readers.get(name) ?? 0) + Number(isReader));
    }
    if (!matrix) continue;
    count += matrix.rows * matrix.blocks * matrix.blockSize;
    if (count > MOST_FLOATS) throw new UnreadableError("its weights as floats are over 4 GB");
    const floats = `${matrix.name}.floats`;
    const isFirst = !added.has(`${floats}.integers`);
    const making = isFirst ? dequantize(matrix, floats, added) : [];
    written.set(node.outputs[0]!, [...making, ...product(node, floats)]);
  }
  const isRead = (name: string): boolean =>
    readers.get(name) !== 0 || !added.has(`${name}.floats.integers`);
  return changed(
    content,
    (number, value) => {
      if (number === GRAPH.node) return written.get(readNode(value).outputs[0] ?? "");
      if (number !== GRAPH.initializer) return undefined;
      return isRead(readTensor(value).name) ? undefined : [];
    },
    [...added.values()].flat(),
  );
}

/** The matrix of a MatMulNBits; undefined where this is none, or one that is not known here. */
function matrixOf(
  { operator, inputs, outputs }: GraphNode,
  bytes: Uint8Array,
  tensors: ReadonlyMap<string, Uint8Array>,
): Matrix | undefined {
  const [, name = "", scales = "", ...others] = inputs;
  const packed = tensors.get(name);
  // Zero points and the order of groups are what others write.
  if (operator !== "MatMulNBits" || !packed || others[0] || others[1] || !outputs[0]) {
    return undefined;
  }
  const numbers = integersOf(bytes);
  const number = (key: string): number => numbers.get(key) ?? 0;
  const [rows, columns] = [number("N"), number("K")];
  const [bits, blockSize] = [number("bits"), number("block_size")];
  const blocks = Math.ceil(columns / blockSize);
  const { dims } = readTensor(packed);
  const expected = [rows, blocks, (blockSize * bits) / 8];
  const fits = dims.length === 3 && expected.every((size, at) => dims[at] === size);
  const hasBytes = [...fieldsOf(packed)].some(
    ([field]) => field === TENSOR.raw || field === TENSOR.external,
  );
  if (TYPES[bits] === undefined || !fits || !hasBytes) return undefined;
  return { name, packed, scales, rows, columns, blocks, blockSize, bits };
}

/** Nodes that make the floats [rows, columns] of `matrix`, whose initializers go into `added`. */
function dequantize(matrix: Matrix, floats: string, added: Map<string, Part>): Uint8Array[] {
  const { rows, columns, blocks, blockSize, bits } = matrix;
  const [integers, middle] = [`${floats}.integers`, `middle.${bits}.${rows}.${blocks}`];
  const kept = [...fieldsOf(matrix.packed)]
    .filter(([field]) => ![TENSOR.dims, TENSOR.type, TENSOR.name].includes(field))
    .map(([, , begin, end]) => matrix.packed.subarray(begin, end));
  added.set(integers, tensor(integers, TYPES[bits]!, [rows, blocks * blockSize], kept));
  const count = Math.ceil((rows * blocks * bits) / 8);
  const zeros = new Uint8Array(count).fill(bits === 4 ? 0x88 : 0x80);
  added.set(middle, tensor(middle, TYPES[bits]!, [rows, blocks], rawData(zeros)));
  const inputs = [integers, matrix.scales, middle];
  const attributes = { axis: 1, block_size: blockSize };
  if (blocks * blockSize === columns) {
    return node("DequantizeLinear", inputs, floats, attributes);
  }
  const bounds = { begin: 0, end: columns, axis: 1 };
  for (const [name, value] of Object.entries(bounds)) {
    const content = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
    const bound = `${floats}.${name}`;
    added.set(bound, tensor(bound, DATA_TYPE.int64, [1], rawData(content)));
  }
  const names = Object.keys(bounds).map((name) => `${floats}.${name}`);
  return [
    ...node("DequantizeLinear", inputs, `${floats}.filled`, attributes),
    ...node("Slice", [`${floats}.filled`, ...names], floats),
  ];
}

/** The node of a MatMulNBits as a product with the floats [rows, columns], and its bias added. */
function product({ inputs, outputs }: GraphNode, floats: string): Uint8Array[] {
  const [output = ""] = outputs;
  const bias = inputs[5];
  const name = bias ? `${output}.product` : output;
  return [
    ...node("FusedMatMul", [inputs[0]!, floats], name, { transB: 1 }, MICROSOFT),
    ...(bias ? node("Add", [name, bias], output) : []),
  ];
}

function node(...of: Parameters<typeof writeNode>): Uint8Array[] {
  return fieldOf(GRAPH.node, writeNode(...of));
}

function tensor(...of: Parameters<typeof writeTensor>): Uint8Array[] {
  return fieldOf(GRAPH.initializer, writeTensor(...of));
}
