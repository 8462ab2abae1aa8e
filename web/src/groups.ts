/** What a package's weights are, by part of the model: numbers, bytes and bits. */

import type { TensorRecord } from "./graph-file.js";
import type { Architecture } from "./manifest.js";

/** A part of the model and its weights. */
export interface WeightGroup {
  readonly name: string;
  /** Numbers of the model, however they are stored. */
  readonly parameters: number;
  /** In the graph's files. */
  readonly bytes: number;
  /** The mean number of bits per parameter, scales included. */
  readonly bits: number;
}

// Which part of the model a tensor is of, by its name.
const PARTS: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["embeddings", /(^|\.)w[tp]e\./],
  ["attention", /\.attn\./],
  ["feed-forward", /\.mlp\./],
  ["head", /(^|\.)lm_head\./],
];
// TensorProto.DataType: bits of an element.
// prettier-ignore
const BITS: Readonly<Record<number, number>> = {
  1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16,
  17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4,
};

/** The parts of GPT-2; none where the graph names its weights in another way. */
export function weightGroups(
  tensors: ReadonlyMap<string, TensorRecord>,
  sizes: Architecture,
): WeightGroup[] {
  const bytes = new Map<string, number>();
  for (const [tensor, { dims, type }] of tensors) {
    const name = PARTS.find(([, pattern]) => pattern.test(tensor))?.[0] ?? "other";
    const bits = dims.reduce((product, size) => product * size, BITS[type] ?? 0);
    bytes.set(name, (bytes.get(name) ?? 0) + Math.ceil(bits / 8));
  }
  if (!["embeddings", "attention", "feed-forward"].every((name) => bytes.get(name))) return [];
  const { hiddenSize: width, numLayers: layers, vocabSize, contextLength } = sizes;
  // GPT-2's own counts; its head is the token embeddings again.
  const parameters: Readonly<Record<string, number>> = {
    embeddings: (vocabSize + contextLength) * width,
    attention: layers * (4 * width ** 2 + 4 * width),
    "feed-forward": layers * (8 * width ** 2 + 5 * width),
    other: (2 * layers + 1) * 2 * width, // the norms
  };
  return [...PARTS.map(([name]) => name), "other"]
    .filter((name) => bytes.get(name))
    .map((name) => {
      const [count, size] = [parameters[name] ?? 0, bytes.get(name)!];
      const bits = count > 0 ? Math.round((800 * size) / count) / 100 : 0;
      return { name, parameters: count, bytes: size, bits };
    });
}
