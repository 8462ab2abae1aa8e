/**
 * Small changes to an ONNX graph before it is loaded, in its bytes: an input that onnxruntime-web
 * would not list, and attention's weights as outputs. Weights are copied, never parsed.
 */

import { cacheNames } from "./cache.js";
import { readNode, type GraphNode } from "./graph-file.js";
import type { Manifest } from "./manifest.js";
import { bytesOf, fieldOf, fieldsOf, joined, numberField, text, textOf } from "./protobuf.js";
import { UnreadableError } from "./untrusted.js";

const MODEL = { graph: 7 };
export const GRAPH = { node: 1, initializer: 5, input: 11, output: 12 };
const NODE = { output: 2, attribute: 5 };
const ATTRIBUTE = { name: 1, value: 3, type: 20 };
const INTEGER = 2; // AttributeProto.INT
const TENSOR_NAME = 8;
export const VALUE = { name: 1, type: 2, tensor: 1, element: 1 };
const FLOAT = 1; // TensorProto.FLOAT
// GroupQueryAttention: its fourth output holds the scores, here those after the softmax.
const SCORES = 3;
const AFTER_SOFTMAX = 2;

export type Part = readonly Uint8Array[];
/** What becomes of a field; undefined: it stays as it is. */
export type Change = (field: number, value: Uint8Array) => Part | undefined;

/**
 * `content`, with the default of the input `name` taken away. onnxruntime-web neither lists nor
 * takes inputs that have one.
 */
export function withoutDefault(content: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  return changed(content, (number, value) =>
    number === GRAPH.initializer && nameOf(value) === name ? [] : undefined,
  );
}

/** A graph that also gives attention's weights, and the names of those outputs by layer. */
export interface AttentiveGraph {
  readonly graph: Uint8Array<ArrayBuffer>;
  readonly outputs: readonly string[];
}

/**
 * `content`, with the weights [1, heads, tokens, all tokens] of each layer's attention as outputs.
 * GroupQueryAttention is asked for them; in graphs of standard operators they are the Softmax that
 * a product with the layer's values follows. UnreadableError where a layer has neither.
 */
export function attentive(content: Uint8Array, manifest: Manifest): AttentiveGraph {
  const nodes = graphsOf(content).flatMap((graph) =>
    [...fieldsOf(graph)]
      .filter(([number]) => number === GRAPH.node)
      .map(([, value]) => readNode(bytesOf(value))),
  );
  const softmax = new Set(
    nodes.filter(({ operator }) => operator === "Softmax").map(({ outputs }) => outputs[0]),
  );
  const asked = new Map<string, string>(); // first output of a GroupQueryAttention: its weights
  const outputs = layersOf(manifest).map(({ key, value }, layer) => {
    const fused = nodes.find(
      ({ operator, outputs: made }) => operator === "GroupQueryAttention" && made[1] === key,
    );
    if (fused) {
      const name = fused.outputs[SCORES] || `gpt2_edge.attention.${layer}`;
      asked.set(fused.outputs[0]!, name);
      return name;
    }
    const product = nodes.find(
      ({ operator, inputs }) =>
        operator === "MatMul" && inputs[1] === value && softmax.has(inputs[0]),
    );
    if (!product) throw new UnreadableError(`layer ${layer} has no attention that is known here`);
    return product.inputs[0]!;
  });
  const element = [numberField(VALUE.element, FLOAT)];
  const type = fieldOf(VALUE.type, fieldOf(VALUE.tensor, element));
  const declared = outputs.flatMap((name) =>
    fieldOf(GRAPH.output, [...fieldOf(VALUE.name, [text(name)]), ...type]),
  );
  const graph = changed(
    content,
    (number, value) => {
      if (number !== GRAPH.node) return undefined;
      const node = readNode(value);
      const name = asked.get(node.outputs[0] ?? "");
      return name === undefined ? undefined : fieldOf(GRAPH.node, withScores(value, node, name));
    },
    declared,
  );
  return { graph, outputs };
}

/** A GroupQueryAttention's fields, and what makes it give its scores as `name`. */
function withScores(bytes: Uint8Array, node: GraphNode, name: string): Part {
  const others = rewritten(bytes, (number, value) =>
    number === NODE.attribute && isQkOutput(value) ? [] : undefined,
  );
  const missing = Array.from({ length: Math.max(0, SCORES - node.outputs.length) }, () => "");
  const outputs = node.outputs[SCORES] ? [] : [...missing, name];
  return [
    ...others,
    ...outputs.flatMap((output) => fieldOf(NODE.output, [text(output)])),
    ...fieldOf(NODE.attribute, [
      ...fieldOf(ATTRIBUTE.name, [text("qk_output")]),
      numberField(ATTRIBUTE.value, AFTER_SOFTMAX),
      numberField(ATTRIBUTE.type, INTEGER),
    ]),
  ];
}

function isQkOutput(attribute: Uint8Array): boolean {
  return [...fieldsOf(attribute)].some(
    ([number, value]) => number === ATTRIBUTE.name && textOf(value) === "qk_output",
  );
}

/** Names of the keys and values that each layer gives. */
function layersOf(manifest: Manifest): { key: string; value: string }[] {
  const names = cacheNames(manifest).map(({ present }) => present);
  return Array.from({ length: names.length / 2 }, (_, layer) => ({
    key: names[2 * layer]!,
    value: names[2 * layer + 1]!,
  }));
}

export function graphsOf(content: Uint8Array): Uint8Array[] {
  return [...fieldsOf(content)]
    .filter(([number]) => number === MODEL.graph)
    .map(([, value]) => bytesOf(value));
}

/** `content` with `change` made to the fields of its graph, and `added` behind them. */
export function changed(
  content: Uint8Array,
  change: Change,
  added: Part = [],
): Uint8Array<ArrayBuffer> {
  if (graphsOf(content).length !== 1) throw new UnreadableError("it has no graph, or several");
  return joined(
    rewritten(content, (number, value) =>
      number === MODEL.graph
        ? fieldOf(MODEL.graph, [...rewritten(value, change), ...added])
        : undefined,
    ),
  );
}

/** The bytes of a message, with what `change` makes of its fields. */
export function rewritten(bytes: Uint8Array, change: Change): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let copied = 0;
  for (const [number, value, begin, end] of fieldsOf(bytes)) {
    const becomes = typeof value === "number" ? undefined : change(number, value);
    if (becomes === undefined) continue;
    parts.push(bytes.subarray(copied, begin), ...becomes);
    copied = end;
  }
  parts.push(bytes.subarray(copied));
  return parts;
}

export function nameOf(tensor: Uint8Array): string | undefined {
  const found = [...fieldsOf(tensor)].find(([number]) => number === TENSOR_NAME);
  return found && textOf(found[1]);
}

/** The name of an input or output. */
export function nameOfValue(value: Uint8Array): string | undefined {
  const found = [...fieldsOf(value)].find(([number]) => number === VALUE.name);
  return found && textOf(found[1]);
}
