/**
 * Keys and values on the processor, where each run copies every output into a new array, and
 * onnxruntime-web every input, too. So a step gives the rows of its tokens only (new-rows.ts), and they
 * are written behind those that are there. Of a whole cache, V8 took a quarter of a text's time in
 * Node to collect the copies, and with 900 tokens of a 124M in WebAssembly they took half of a step's.
 */

import {
  cacheNames,
  emptyRows,
  requireSizes,
  type Cache,
  type CacheName,
  type Rows,
  type Tensors,
} from "./cache.js";
import type { Manifest } from "./manifest.js";
import type { OrtModule } from "./runtime.js";

// Tokens that there is room for, beyond those that are there.
const LEAST_ROOM = 64;

/**
 * Buffers with room for more tokens than there are. Where `isWhole` the graph gets the whole of them,
 * and the rows of a head stay where they are: a "shared" graph reads of it what the mask counts, and
 * onnxruntime-node copies nothing. Else it gets exactly the tokens so far, and the heads' rows move
 * apart as they grow.
 */
export class AppendedCache implements Cache {
  readonly feeds: Tensors = {};
  readonly fetches: Record<string, null>;
  readonly #names: readonly CacheName[];
  readonly #buffers = new Map<string, Rows>();
  #length = 0;
  #room = 0;

  /** For up to `capacity` tokens in each of `count` rows. */
  constructor(
    private readonly ort: OrtModule,
    private readonly manifest: Manifest,
    private readonly isWhole: boolean,
    private readonly capacity: number,
    private readonly count = 1,
  ) {
    this.#names = cacheNames(manifest);
    this.fetches = Object.fromEntries(this.#names.map(({ present }) => [present, null]));
    this.#makeRoom(Math.min(capacity, LEAST_ROOM));
    this.#show();
  }

  advance(outputs: Tensors, length: number): void {
    const { numHeads, headSize } = this.manifest.architecture;
    const [before, added] = [this.#length, length - this.#length];
    const dims = [this.count, numHeads, added, headSize];
    for (const { present } of this.#names) requireSizes(outputs[present]!, dims, present, length);
    const [room, apart] = [this.#room, this.#apart];
    if (length > room) {
      this.#makeRoom(Math.min(this.capacity, length + LEAST_ROOM + (length >> 2)));
    }
    this.#length = length;
    for (const { past, present } of this.#names) {
      this.#move(past, before, apart, this.#apart);
      this.#write(past, outputs[present]!.data as Rows, added, before);
    }
    if (!this.isWhole || this.#room !== room) this.#show();
  }

  async trim(length: number): Promise<void> {
    const apart = this.#apart;
    this.#length = length; // what is behind the mask's end does not count
    if (this.isWhole) return;
    for (const { past } of this.#names) this.#move(past, length, apart, length);
    this.#show();
  }

  async copied(count: number): Promise<AppendedCache> {
    const copies = new AppendedCache(this.ort, this.manifest, this.isWhole, this.capacity, count);
    copies.#makeRoom(this.#room);
    copies.#length = this.#length;
    copies.#show();
    for (const [name, tensor] of Object.entries(this.feeds)) {
      const data = tensor.data as Rows;
      const all = copies.feeds[name]!.data as Rows;
      for (let row = 0; row < count; row++) all.set(data, row * data.length);
    }
    return copies;
  }

  dispose(): void {
    for (const tensor of Object.values(this.feeds)) tensor.dispose();
    this.#buffers.clear();
  }

  /** Tokens from the first of one head to the first of the next. */
  get #apart(): number {
    return this.isWhole ? this.#room : this.#length;
  }

  /** Buffers for `room` tokens that begin as the ones before. */
  #makeRoom(room: number): void {
    const { architecture, graph } = this.manifest;
    const size = this.count * architecture.numHeads * room * architecture.headSize;
    this.#room = room;
    for (const { past } of this.#names) {
      const data = emptyRows(graph.cacheDtype, size);
      const old = this.#buffers.get(past);
      if (old) data.set(old);
      this.#buffers.set(past, data);
    }
  }

  /** Let the graph see what there is. */
  #show(): void {
    const { architecture, graph } = this.manifest;
    const dims = [this.count, architecture.numHeads, this.#apart, architecture.headSize];
    const size = dims.reduce((product, dim) => product * dim);
    for (const { past } of this.#names) {
      const data = this.#buffers.get(past)!.subarray(0, size);
      this.feeds[past] = new this.ort.Tensor(graph.cacheDtype, data, dims);
    }
  }

  /** Move the first `count` rows of each head, which begin `from` tokens apart, `to` tokens apart. */
  #move(past: string, count: number, from: number, to: number): void {
    if (from === to || count === 0) return;
    const { numHeads, headSize } = this.manifest.architecture;
    const data = this.#buffers.get(past)!;
    const heads = this.count * numHeads;
    for (let at = 1; at < heads; at++) {
      const head = to > from ? heads - at : at; // none is written over before it has moved
      const begin = head * from * headSize;
      data.copyWithin(head * to * headSize, begin, begin + count * headSize);
    }
  }

  /** Write `count` rows of each head in `rows` behind the first `at`. */
  #write(past: string, rows: Rows, count: number, at: number): void {
    const { numHeads, headSize } = this.manifest.architecture;
    const data = this.#buffers.get(past)!;
    const size = count * headSize;
    for (let head = 0; head < this.count * numHeads; head++) {
      const own = rows.subarray(head * size, (head + 1) * size);
      data.set(own, (head * this.#apart + at) * headSize);
    }
  }
}
