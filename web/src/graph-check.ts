/** Is the graph in a package the one that its manifest describes? */

import type { InferenceSession } from "onnxruntime-web";

import { cacheNames } from "./cache.js";
import { PackageError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import type { Package } from "./package.js";
import { shown } from "./untrusted.js";

type Entry = InferenceSession.ValueMetadata;
/** A size that must be; null: any, or one that is not fixed. */
type Sizes = readonly (number | null)[];

/** PackageError if `library`, an ONNX Runtime with its version, is older than the package needs. */
export function checkVersion({ name, graph }: Manifest, library: string): void {
  const [major = 0, minor = 0] = numbers(library);
  const [leastMajor = 0, leastMinor = 0] = numbers(graph.minOnnxruntime);
  if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
    throw new PackageError(
      `${shown(name)} needs ONNX Runtime ${graph.minOnnxruntime} or later, this is ${library}: ` +
        "upgrade it",
    );
  }
}

/** PackageError unless the table of positions, where it was found, has the manifest's sizes. */
export function checkPositions({ manifest, positions }: Package, url: string): void {
  const { contextLength, hiddenSize } = manifest.architecture;
  const [rows, columns] = positions ?? [contextLength, hiddenSize];
  if (rows < contextLength) {
    throw new PackageError(
      `${url} has ${rows} positions, the manifest a context_length of ${contextLength}; ` +
        "export the package again",
    );
  }
  if (columns !== hiddenSize) {
    throw new PackageError(
      `${url} has embeddings of ${columns}, the manifest a hidden_size of ${hiddenSize}; ` +
        "export the package again",
    );
  }
}

/** PackageError unless the graph's inputs, outputs, types and sizes are the manifest's. */
export function checkGraph(session: InferenceSession, manifest: Manifest, url: string): void {
  const { architecture, graph } = manifest;
  const { names } = graph;
  const inputs = new Map(session.inputMetadata.map((entry) => [entry.name, entry]));
  const outputs = new Map(session.outputMetadata.map((entry) => [entry.name, entry]));
  const layers = cacheNames(manifest);
  const past = layers.map((layer) => layer.past);
  const present = layers.map((layer) => layer.present);
  const rows = [names.inputIds, names.attentionMask, names.positionIds].filter((n) => n !== null);
  for (const name of [...rows, ...past]) {
    if (!inputs.has(name)) {
      throw new PackageError(`${url} has no input ${shown(name)}, which the manifest names`);
    }
  }
  const known = new Set([...rows, ...past, names.logitsToKeep]);
  for (const name of inputs.keys()) {
    if (!known.has(name)) {
      throw new PackageError(
        `${url} needs the input ${shown(name)}, which the manifest does not name`,
      );
    }
  }
  for (const name of [names.logits, ...present]) {
    if (!outputs.has(name)) {
      throw new PackageError(`${url} has no output ${shown(name)}, which the manifest names`);
    }
  }
  const { numHeads, headSize, vocabSize } = architecture;
  for (const name of rows) checkTensor(inputs.get(name)!, "int64", [1, null], url);
  const kept = names.logitsToKeep === null ? undefined : inputs.get(names.logitsToKeep);
  if (kept) checkTensor(kept, "int64", [1], url);
  const cache = [1, numHeads, null, headSize];
  for (const name of past) checkTensor(inputs.get(name)!, graph.cacheDtype, cache, url);
  for (const name of present) checkTensor(outputs.get(name)!, graph.cacheDtype, cache, url);
  checkTensor(outputs.get(names.logits)!, "float32", [1, null, vocabSize], url);
}

/** Of a size that the graph leaves open only a run can tell; optimum's graphs have many. */
function checkTensor(entry: Entry, type: string, sizes: Sizes, url: string): void {
  if (!entry.isTensor || entry.type !== type) {
    const found = entry.isTensor ? entry.type : "no tensor";
    throw new PackageError(
      `${url} has ${shown(entry.name)} as ${found}, the manifest says ${type}; ` +
        "export the package again",
    );
  }
  const fits =
    entry.shape.length === sizes.length &&
    entry.shape.every((size, at) => {
      const wanted = sizes[at];
      return typeof size !== "number" || size < 0 || wanted === null || size === wanted;
    });
  if (!fits) {
    throw new PackageError(
      `${url} has ${shown(entry.name)} as ${shown(entry.shape)}, the manifest says ` +
        `${shown(sizes)}: other heads or another vocabulary; export the package again`,
    );
  }
}

function numbers(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
