/** In place of native.ts outside of Node. */

/** Fails: there is no such build here. */
export function importNative(): Promise<unknown> {
  return Promise.reject(new Error("onnxruntime-node runs in Node only"));
}
