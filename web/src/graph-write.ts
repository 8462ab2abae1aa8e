/** Parts of an ONNX file, written: nodes and tensors. */

import { fieldOf, numberField, text } from "./protobuf.js";

const NODE = { input: 1, output: 2, operator: 4, attribute: 5, domain: 7 };
const ATTRIBUTE = { name: 1, value: 3, type: 20 };
const INTEGER = 2; // AttributeProto.INT
/** Fields of a TensorProto. */
export const TENSOR = { dims: 1, type: 2, name: 8, raw: 9, external: 13 };
/** Its data types. */
export const DATA_TYPE = { uint8: 2, int8: 3, int32: 6, int64: 7, uint4: 21 };

type Bytes = readonly Uint8Array[];

/** A NodeProto with one output; `attributes` are integers. */
export function writeNode(
  operator: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, number>> = {},
  domain = "",
): Bytes {
  return [
    ...inputs.flatMap((name) => fieldOf(NODE.input, [text(name)])),
    ...fieldOf(NODE.output, [text(output)]),
    ...fieldOf(NODE.operator, [text(operator)]),
    ...Object.entries(attributes).flatMap(([name, value]) =>
      fieldOf(NODE.attribute, [
        ...fieldOf(ATTRIBUTE.name, [text(name)]),
        numberField(ATTRIBUTE.value, value),
        numberField(ATTRIBUTE.type, INTEGER),
      ]),
    ),
    ...fieldOf(NODE.domain, [text(domain)]),
  ];
}

/** A TensorProto; `content` are the fields that hold its bytes. */
export function writeTensor(
  name: string,
  type: number,
  dims: readonly number[],
  content: Bytes,
): Bytes {
  return [
    ...dims.map((size) => numberField(TENSOR.dims, size)),
    numberField(TENSOR.type, type),
    ...fieldOf(TENSOR.name, [text(name)]),
    ...content,
  ];
}

/** The field that holds a tensor's bytes. */
export function rawData(content: Uint8Array): Bytes {
  return fieldOf(TENSOR.raw, [content]);
}
