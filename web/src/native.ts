/** ONNX Runtime's build for Node; package.json gives browsers and their bundlers no-native.ts. */

/** The module onnxruntime-node. Fails where it is not installed, or not for this machine. */
export function importNative(): Promise<unknown> {
  return import("onnxruntime-node");
}
