/** Is the graph in a package the one that its manifest describes? */

import type { InferenceSession } from "onnxruntime-web";

import { cacheNames } from "./cache.js";
import { PackageError } from "./errors.js";
import type { Manifest } from "./manifest.js";

/** PackageError if this ONNX Runtime, `version`, is older than the package needs. */
export function checkVersion({ name, graph }: Manifest, version: string): void {
  if (!/^\d+(\.\d+)*$/.test(graph.minOnnxruntime)) {
    throw new PackageError(
      `${name}: the manifest asks for ONNX Runtime ${JSON.stringify(graph.minOnnxruntime)}, ` +
        "which is no version",
    );
  }
  const [major = 0, minor = 0] = numbers(version);
  const [leastMajor = 0, leastMinor = 0] = numbers(graph.minOnnxruntime);
  if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
    throw new PackageError(
      `${name} needs ONNX Runtime ${graph.minOnnxruntime} or later, this is onnxruntime-web ` +
        `${version}: upgrade it`,
    );
  }
}

/** PackageError unless the graph's inputs, outputs and sizes are the manifest's. */
export function checkGraph(session: InferenceSession, manifest: Manifest, url: string): void {
  const { architecture, graph } = manifest;
  const { names } = graph;
  const inputs = new Map(session.inputMetadata.map((entry) => [entry.name, entry]));
  const outputs = new Map(session.outputMetadata.map((entry) => [entry.name, entry]));
  const layers = cacheNames(manifest);
  const past = layers.map((layer) => layer.past);
  const required = [names.inputIds, names.attentionMask, names.positionIds, ...past];
  for (const name of required) {
    if (name !== null && !inputs.has(name)) {
      throw new PackageError(`${url} has no input ${name}, which the manifest names`);
    }
  }
  for (const name of inputs.keys()) {
    if (!required.includes(name) && name !== names.logitsToKeep) {
      throw new PackageError(`${url} needs the input ${name}, which the manifest does not name`);
    }
  }
  for (const name of [names.logits, ...layers.map((layer) => layer.present)]) {
    if (!outputs.has(name)) {
      throw new PackageError(`${url} has no output ${name}, which the manifest names`);
    }
  }
  for (const name of past) {
    const entry = inputs.get(name)!;
    if (!entry.isTensor || entry.type !== graph.cacheDtype) {
      const type = entry.isTensor ? entry.type : "no tensor";
      throw new PackageError(
        `${url} has the input ${name} as ${type}, the manifest says ${graph.cacheDtype}; ` +
          "export the package again",
      );
    }
    if (entry.shape[1] !== architecture.numHeads || entry.shape[3] !== architecture.headSize) {
      throw otherSizes(url);
    }
  }
  const logits = outputs.get(names.logits)!;
  const vocab = logits.isTensor ? logits.shape.at(-1) : undefined;
  // optimum's graphs leave sizes symbolic; only numbers can be compared.
  if (typeof vocab === "number" && vocab !== architecture.vocabSize) throw otherSizes(url);
}

function otherSizes(url: string): PackageError {
  return new PackageError(
    `${url} has other heads or another vocabulary than the manifest says; export the package again`,
  );
}

function numbers(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
