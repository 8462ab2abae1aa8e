/**
 * What this runtime reads of an ONNX file itself, without ONNX Runtime: where its weights lie, and
 * how many positions it knows, and that it is made of what a GPT-2 is made of. Field numbers are those of onnx.proto; every other field is passed
 * over by its length, weights included.
 */

import { checkNode, withFunctions, withGraph } from "./graph-rules.js";
import { bytesOf, fieldsOf, readVarint, textOf } from "./protobuf.js";

/** What `readGraphFile` finds. */
export interface GraphFile {
  /** Names of the files with weights, as the graph gives them. */
  readonly locations: ReadonlySet<string>;
  /** [rows, columns] of the position embedding; null where the graph looks it up in another way. */
  readonly positions: readonly [rows: number, columns: number] | null;
  /** The graph's own tensors, by name. */
  readonly tensors: ReadonlyMap<string, TensorRecord>;
}

/** Sizes of a tensor, and the kind of its elements (TensorProto.DataType). */
export interface TensorRecord {
  readonly dims: readonly number[];
  readonly type: number;
}

type Message = "model" | "training" | "graph" | "node" | "attribute" | "sparse";
type Leaf = "tensor";

// Which fields of a message hold further messages with weights in them.
const PARTS: Readonly<Record<Message, Readonly<Record<number, Message | Leaf>>>> = {
  model: { 7: "graph", 20: "training" },
  training: { 1: "graph", 2: "graph" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
};
const FUNCTIONS = 25; // of a model
const NODE = { input: 1, output: 2, operator: 4, attribute: 5, domain: 7 };
const ATTRIBUTE = { name: 1, integer: 3 };
const TENSOR = { dims: 1, type: 2, name: 8, external: 13 };
const ENTRY = { key: 1, value: 2 };

// Nodes that pass values on, in another type or shape.
const RETYPING = ["Cast", "Identity", "DequantizeLinear"];
const RESHAPING = [...RETYPING, "Reshape", "Unsqueeze", "Squeeze"];
const STEPS = 8; // through such nodes

/** A node of a graph; names of inputs and outputs that are left out are empty. */
export interface GraphNode {
  readonly operator: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * Read the ONNX model `content`, whose input `positionIds` (null: none) holds the positions.
 * UnreadableError where it is no ONNX model, or has parts that no GPT-2 has.
 */
export function readGraphFile(content: Uint8Array, positionIds: string | null): GraphFile {
  const locations = new Set<string>();
  const nodes: GraphNode[] = [];
  const tensors = new Map<string, TensorRecord>();
  let operator = ""; // of the node whose attributes are read
  const visit = (message: Message, bytes: Uint8Array, depth: number): void => {
    for (const [field, value] of fieldsOf(bytes)) {
      if (message === "model" && field === FUNCTIONS) throw withFunctions();
      const part = PARTS[message][field];
      if (part === undefined) continue;
      const inner = bytesOf(value);
      if (message === "attribute" && part === "graph") throw withGraph(operator);
      if (part === "tensor") {
        const { name, ...tensor } = readTensor(inner, locations);
        if (message === "graph" && depth === 1) tensors.set(name, tensor);
      } else {
        if (part === "node") {
          const node = readNode(inner);
          checkNode(node.operator, node.domain);
          operator = node.operator;
          if (depth === 1) nodes.push(node);
        }
        visit(part, inner, depth + 1);
      }
    }
  };
  visit("model", content, 0);
  return {
    locations,
    positions: positionIds === null ? null : positionTable(positionIds, nodes, tensors),
    tensors,
  };
}

/** Sizes of the table whose rows are gathered by `positionIds`. */
function positionTable(
  positionIds: string,
  nodes: readonly GraphNode[],
  tensors: ReadonlyMap<string, TensorRecord>,
): readonly [number, number] | null {
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node])));
  const origin = (name: string | undefined, passing: readonly string[]): string | undefined => {
    for (let step = 0; step < STEPS && name !== undefined; step++) {
      const maker = makers.get(name);
      if (!maker || !passing.includes(maker.operator)) return name;
      name = maker.inputs[0];
    }
    return undefined;
  };
  const gather = nodes.find(
    ({ operator, inputs }) => operator === "Gather" && origin(inputs[1], RESHAPING) === positionIds,
  );
  const table = origin(gather?.inputs[0], RETYPING);
  const [rows, columns, ...more] = tensors.get(table ?? "")?.dims ?? [];
  return rows === undefined || columns === undefined || more.length > 0 ? null : [rows, columns];
}

export function readNode(bytes: Uint8Array): GraphNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  let operator = "";
  let domain = "";
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === NODE.input) inputs.push(textOf(value));
    else if (field === NODE.output) outputs.push(textOf(value));
    else if (field === NODE.operator) operator = textOf(value);
    else if (field === NODE.domain) domain = textOf(value);
  }
  return { operator, domain, inputs, outputs };
}

/** The attributes of a node that are integers. */
export function integersOf(bytes: Uint8Array): ReadonlyMap<string, number> {
  const integers = new Map<string, number>();
  for (const [field, value] of fieldsOf(bytes)) {
    if (field !== NODE.attribute) continue;
    let name = "";
    let integer: number | undefined;
    for (const [inner, content] of fieldsOf(bytesOf(value))) {
      if (inner === ATTRIBUTE.name) name = textOf(content);
      else if (inner === ATTRIBUTE.integer && typeof content === "number") integer = content;
    }
    if (integer !== undefined) integers.set(name, integer);
  }
  return integers;
}

/** What a tensor is; names of files with weights go into `locations`. */
export function readTensor(
  bytes: Uint8Array,
  locations = new Set<string>(),
): TensorRecord & { readonly name: string } {
  const dims: number[] = [];
  let name = "";
  let type = 0;
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === TENSOR.name) {
      name = textOf(value);
    } else if (field === TENSOR.type && typeof value === "number") {
      type = value;
    } else if (field === TENSOR.dims) {
      if (typeof value === "number") dims.push(value);
      else for (let at = 0; at < value.length;) at = readVarint(value, at, (dim) => dims.push(dim));
    } else if (field === TENSOR.external) {
      const entry = new Map(
        [...fieldsOf(bytesOf(value))].map(([key, text]) => [key, textOf(text)]),
      );
      if (entry.get(ENTRY.key) === "location") locations.add(entry.get(ENTRY.value) ?? "");
    }
  }
  return { name, dims, type };
}
