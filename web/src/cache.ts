/**
 * Keys and values of the tokens so far: [1, heads, tokens, head_size] a layer.
 *
 * onnxruntime-web copies every tensor on the processor into WebAssembly's memory for a run and
 * every output out of it, and does not copy back what is written into a preallocated output: no
 * buffer on the processor can be past and present. There, and on onnxruntime-node, steps give new
 * tokens only (appended-cache.ts); in a worker, which takes over what it gets, each step passes
 * the tokens so far and gets them back with the new ones. On WebGPU, buffers stay where they are,
 * and a "shared" graph writes new tokens into them in place.
 */

import type { Tensor } from "onnxruntime-web";

import { PackageError } from "./errors.js";
import type { CacheDtype, Manifest } from "./manifest.js";
import type { OrtModule } from "./runtime.js";
import { shown } from "./untrusted.js";

// GPUBufferUsage, by the numbers of WebGPU's specification: Node has no such object.
const COPY_SRC = 0x04;
const COPY_DST = 0x08;
const STORAGE = 0x80;

export type Tensors = Record<string, Tensor>;
/** Keys or values; those of float16 as bits. */
export type Rows = Float32Array | Uint16Array | Int8Array;

/** What a sequence needs of a cache. */
export interface Cache {
  /** The past, by names of inputs. */
  readonly feeds: Tensors;
  /** Where the present is to go, by names of outputs; null: ONNX Runtime allocates it. */
  readonly fetches: Record<string, Tensor | null>;
  /** Take in what a step wrote; `length` is then the number of tokens. */
  advance(outputs: Tensors, length: number): void;
  /** Forget all tokens from number `length` on. */
  trim(length: number): Promise<void>;
  /** `count` rows that all hold what this one does; not on a GPU. */
  copied?(count: number): Promise<Cache>;
  dispose(): void;
}

/** A layer's key or value: names of its input and output. */
export interface CacheName {
  readonly past: string;
  readonly present: string;
}

export function emptyRows(type: CacheDtype, size: number): Rows {
  return new { float32: Float32Array, float16: Uint16Array, int8: Int8Array }[type](size);
}

export function requireSizes(
  tensor: Tensor,
  dims: readonly number[],
  name: string,
  length: number,
): void {
  if (dims.some((size, at) => tensor.dims[at] !== size)) {
    throw new PackageError(
      `the graph returned ${shown(name)} as ${shown(tensor.dims)} after ${length} tokens, ` +
        `not as ${shown(dims)}; export the package again`,
    );
  }
}

export function cacheNames({ architecture, graph }: Manifest): CacheName[] {
  const { names } = graph;
  const kinds = [
    [names.pastKey, names.presentKey],
    [names.pastValue, names.presentValue],
  ] as const;
  return Array.from({ length: architecture.numLayers }, (_, layer) =>
    kinds.map(([past, present]) => ({
      past: past.replace("{i}", String(layer)),
      present: present.replace("{i}", String(layer)),
    })),
  ).flat();
}

/** Every step returns past and new tokens in new tensors, on the processor or on WebGPU. */
export class GrowingCache implements Cache {
  readonly feeds: Tensors = {};
  readonly fetches: Record<string, null>;
  readonly #names: readonly CacheName[];

  /** `count` rows, each a sequence of its own; all are of one length. */
  constructor(
    private readonly ort: OrtModule,
    private readonly manifest: Manifest,
    private readonly count = 1,
  ) {
    const { architecture, graph } = manifest;
    this.#names = cacheNames(manifest);
    this.fetches = Object.fromEntries(this.#names.map(({ present }) => [present, null]));
    const dims = [count, architecture.numHeads, 0, architecture.headSize];
    for (const { past } of this.#names) {
      // An array each: a worker takes over the memory of what it gets.
      this.feeds[past] = new ort.Tensor(graph.cacheDtype, emptyRows(graph.cacheDtype, 0), dims);
    }
  }

  advance(outputs: Tensors, length: number): void {
    const { numHeads, headSize } = this.manifest.architecture;
    const dims = [this.count, numHeads, length, headSize];
    for (const { past, present } of this.#names) {
      const tensor = outputs[present]!;
      requireSizes(tensor, dims, present, length);
      this.feeds[past]?.dispose();
      this.feeds[past] = tensor;
    }
  }

  async trim(length: number): Promise<void> {
    const { numHeads, headSize } = this.manifest.architecture;
    for (const { past } of this.#names) {
      const tensor = this.feeds[past]!;
      const data = (await tensor.getData()) as Rows; // on the processor from here on
      const [size, whole] = [length * headSize, data.length / numHeads];
      const left = data.slice(0, numHeads * size);
      for (let head = 0; head < numHeads; head++) {
        left.set(data.subarray(head * whole, head * whole + size), head * size);
      }
      tensor.dispose();
      const dims = [1, numHeads, length, headSize];
      this.feeds[past] = new this.ort.Tensor(this.manifest.graph.cacheDtype, left, dims);
    }
  }

  async copied(count: number): Promise<GrowingCache> {
    const copies = new GrowingCache(this.ort, this.manifest, count);
    for (const [name, tensor] of Object.entries(this.feeds)) {
      const data = (await tensor.getData()) as Rows;
      const all = new (data.constructor as new (length: number) => Rows)(count * data.length);
      for (let row = 0; row < count; row++) all.set(data, row * data.length);
      const dims = [count, ...tensor.dims.slice(1)];
      copies.feeds[name] = new this.ort.Tensor(this.manifest.graph.cacheDtype, all, dims);
    }
    return copies;
  }

  dispose(): void {
    for (const tensor of Object.values(this.feeds)) tensor.dispose();
  }
}

/** WebGPU buffers of fixed capacity, each bound as past and as present: no step copies them. */
export class SharedGpuCache implements Cache {
  readonly feeds: Tensors = {};
  readonly fetches: Tensors = {};
  readonly #buffers: GPUBuffer[] = [];

  private constructor() {}

  static async make(ort: OrtModule, manifest: Manifest, capacity: number): Promise<SharedGpuCache> {
    const { numHeads, headSize } = manifest.architecture;
    const device = (await ort.env.webgpu.device) as GPUDevice;
    const cache = new SharedGpuCache();
    const dims = [1, numHeads, capacity, headSize];
    const size = numHeads * capacity * headSize * Float32Array.BYTES_PER_ELEMENT;
    for (const { past, present } of cacheNames(manifest)) {
      const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
      cache.#buffers.push(buffer);
      const tensor = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims });
      cache.feeds[past] = cache.fetches[present] = tensor;
    }
    return cache;
  }

  advance(): void {} // the step wrote into the buffers

  async trim(): Promise<void> {} // what is behind the mask's end does not count

  dispose(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
