/** The ONNX Runtime session of a package, and one sequence being fed through it. */

import type { InferenceSession, Tensor } from "onnxruntime-web";

import { cacheNames, GrowingCache, SharedGpuCache, type Cache } from "./cache.js";
import type { Sequence } from "./decode.js";
import { ContextOverflowError, PackageError, ProviderError } from "./errors.js";
import { checkGraph, checkPositions, checkVersion } from "./graph-check.js";
import { withoutDefault } from "./graph-edit.js";
import type { Manifest } from "./manifest.js";
import { fileUrl, type Package } from "./package.js";
import { nextTask } from "./next-task.js";
import { nextPart } from "./prefill.js";
import { loadRuntime, wantsFloatWeights, type OrtModule, type Provider } from "./runtime.js";
import type { ProviderChoice, RuntimeOptions } from "./runtime.js";
import { tryPosition, tryStepLimit } from "./trial.js";
import { reason as reasonOf, shown } from "./untrusted.js";

const FATAL = 4; // errors are thrown, and need not be printed too
const QUIET = { logSeverityLevel: FATAL } as const;

/** A package loaded into ONNX Runtime; it holds no sequence, so generations may share it. */
export class Session {
  // One run at a time: WebGPU's build cannot be entered again before a run has returned.
  #last: Promise<unknown> = Promise.resolve();
  #stepLimit = Infinity;

  private constructor(
    readonly ort: OrtModule,
    readonly onnx: InferenceSession,
    readonly manifest: Manifest,
    readonly provider: Provider,
    /** Why "auto" did not take WebGPU; null where it did, or where a provider was named. */
    readonly fallbackReason: string | null,
  ) {}

  /** Tokens that may be fed in one step: Infinity, unless a GPU computes larger steps wrongly. */
  get stepLimit(): number {
    return this.#stepLimit;
  }

  /** Load `source` with the first of the chosen providers that takes it. */
  static async load(
    source: Package,
    choice: ProviderChoice,
    options: RuntimeOptions,
  ): Promise<Session> {
    let { reason } = choice;
    for (const provider of choice.providers.slice(0, -1)) {
      try {
        return await Session.#loadWith(source, provider, reason, options);
      } catch (error) {
        if (!(error instanceof ProviderError)) throw error;
        reason = error.message;
      }
    }
    return Session.#loadWith(source, choice.providers.at(-1)!, reason, options);
  }

  static async #loadWith(
    source: Package,
    provider: Provider,
    reason: string | null,
    options: RuntimeOptions,
  ): Promise<Session> {
    const { manifest } = source;
    const url = fileUrl(source.url, manifest.graph.file);
    checkPositions(source, url);
    const { runtime } = source;
    const binary = runtime?.provider === provider ? runtime.binary : null;
    const ort = await loadRuntime(provider, options, binary);
    checkVersion(manifest, ort.env.versions.web ?? "0");
    const onGpu = cacheNames(manifest).map(({ present }) => [present, "gpu-buffer"] as const);
    const floatWeights = wantsFloatWeights(manifest, provider, options);
    const { logitsToKeep } = manifest.graph.names;
    let onnx: InferenceSession;
    try {
      // onnxruntime-web neither lists nor takes an input that has a default.
      const graph =
        logitsToKeep === null ? source.graph : withoutDefault(source.graph, logitsToKeep);
      onnx = await ort.InferenceSession.create(graph, {
        executionProviders: [provider],
        externalData: [...source.weights].map(([path, data]) => ({ path, data })),
        enableMemPattern: false, // plans memory anew for every shape, and ours change each token
        logSeverityLevel: FATAL,
        // So constant folding takes the DequantizeLinear of weights, and no fusion does.
        ...(floatWeights && { extra: { session: { disable_quant_qdq: "1" } } }),
        ...(provider === "webgpu" && { preferredOutputLocation: Object.fromEntries(onGpu) }),
      });
    } catch (error) {
      const kind = provider === "wasm" ? PackageError : ProviderError;
      throw new kind(
        `${url} cannot be loaded by onnxruntime-web ${ort.env.versions.web} on ${provider}: ` +
          reasonOf(error),
        { cause: error },
      );
    }
    const session = new Session(ort, onnx, manifest, provider, reason);
    try {
      checkGraph(onnx, manifest, url);
      if (!source.positions) await tryPosition(session, url);
      // Only steps tell whether a GPU has what the graph needs, and computes it.
      if (provider === "webgpu") session.#stepLimit = await tryStepLimit(session);
    } catch (error) {
      await session.dispose();
      throw error;
    }
    return session;
  }

  /** A new empty sequence with room for `capacity` tokens (at most the context length). */
  async start(capacity: number): Promise<TokenSequence> {
    const room = Math.min(capacity, this.manifest.architecture.contextLength);
    return new TokenSequence(this, room, await this.#newCache(room));
  }

  /** One run of the graph; ProviderError if it fails. */
  async run(
    feeds: Record<string, Tensor>,
    fetches: Record<string, Tensor | null>,
  ): Promise<Record<string, Tensor>> {
    const run = this.#last.then(() => this.onnx.run(feeds, fetches, QUIET));
    this.#last = run.catch(() => undefined);
    try {
      return await run;
    } catch (error) {
      throw new ProviderError(
        `provider ${this.provider} cannot run ${shown(this.manifest.name)}: ${reasonOf(error)}`,
        { cause: error },
      );
    }
  }

  async #newCache(capacity: number): Promise<Cache> {
    return this.provider === "webgpu" && this.manifest.graph.cache === "shared"
      ? SharedGpuCache.make(this.ort, this.manifest, capacity)
      : new GrowingCache(this.ort, this.manifest);
  }

  /** Free the graph's memory; nothing can be run afterwards. */
  async dispose(): Promise<void> {
    await this.#last;
    await this.onnx.release();
  }
}

/** The tokens of one sequence and their cache. */
export class TokenSequence implements Sequence {
  readonly ids: number[] = [];

  constructor(
    private readonly session: Session,
    readonly capacity: number,
    private readonly cache: Cache,
  ) {}

  /** Tokens in the cache. */
  get length(): number {
    return this.ids.length;
  }

  /**
   * Feed `ids`, in one step where the session has no limit, from `position` on; logits [vocab]
   * after the last of them.
   * ContextOverflowError if they do not fit the cache; nothing is fed then.
   */
  async feed(ids: readonly number[], position = this.length): Promise<Float32Array> {
    const { stepLimit } = this.session;
    this.#requireRoom(ids.length);
    let start = 0;
    for (; ids.length - start > stepLimit; start += stepLimit) {
      await this.#step(ids.slice(start, start + stepLimit), position + start, 1);
    }
    return this.#step(ids.slice(start), position + start, 1);
  }

  /**
   * Feed `ids`, no more than the session's stepLimit, in one step; logits [keep, vocab] after the
   * last `keep` of them. Errors as of `feed`.
   */
  async feedKeeping(ids: readonly number[], keep: number): Promise<Float32Array> {
    this.#requireRoom(ids.length);
    return this.#step(ids, this.length, keep);
  }

  #requireRoom(count: number): void {
    if (count === 0 || count > this.capacity - this.length) {
      throw new ContextOverflowError(
        `${count} more tokens do not fit behind ${this.length} in a cache of ${this.capacity}`,
      );
    }
  }

  /** Feed `ids` in one step; the outputs `names` of it, which the caller disposes. */
  async feedFor(ids: readonly number[], names: readonly string[]): Promise<Record<string, Tensor>> {
    this.#requireRoom(ids.length);
    return this.#run(ids, this.length, 1, names);
  }

  async #step(ids: readonly number[], position: number, keep: number): Promise<Float32Array> {
    const { graph, architecture } = this.session.manifest;
    const outputs = await this.#run(ids, position, keep, [graph.names.logits]);
    // A graph without logits_to_keep returns the logits of every position.
    const { data, dims } = outputs[graph.names.logits]!;
    const { vocabSize } = architecture;
    if (dims.at(-1) !== vocabSize || data.length < keep * vocabSize) {
      throw new PackageError(
        `the graph returned logits of ${shown(dims)}, the manifest has a vocabulary of ` +
          `${vocabSize}; export the package again`,
      );
    }
    return (data as Float32Array).subarray(data.length - keep * vocabSize);
  }

  /** One run: the cache then holds `ids` too. */
  async #run(
    ids: readonly number[],
    position: number,
    keep: number,
    wanted: readonly string[],
  ): Promise<Record<string, Tensor>> {
    const { ort, manifest, onnx } = this.session;
    const { names } = manifest.graph;
    const row = (values: readonly number[]): Tensor =>
      new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const feeds: Record<string, Tensor> = {
      ...this.cache.feeds,
      [names.inputIds]: row(ids),
      [names.attentionMask]: row(Array<number>(this.length + ids.length).fill(1)),
    };
    if (names.positionIds !== null) {
      feeds[names.positionIds] = row(ids.map((_, index) => position + index));
    }
    if (names.logitsToKeep !== null && onnx.inputNames.includes(names.logitsToKeep)) {
      feeds[names.logitsToKeep] = new ort.Tensor("int64", BigInt64Array.of(BigInt(keep)), [1]);
    }
    const outputs = await this.session.run(feeds, {
      ...Object.fromEntries(wanted.map((name) => [name, null])),
      ...this.cache.fetches,
    });
    this.ids.push(...ids);
    this.cache.advance(outputs, this.length);
    return outputs;
  }

  /** See Sequence; nextPart says what a part is. */
  async read(ids: readonly number[]): Promise<{ count: number; logits: Float32Array | null }> {
    const [begin, end] = nextPart(this.length, this.length + ids.length);
    const count = end - this.length;
    const part = [...this.ids.slice(begin), ...ids.slice(0, count)];
    await this.trim(begin);
    const logits = await this.feed(part);
    return { count, logits: count === ids.length ? logits : null };
  }

  /** Feed a prompt in parts; logits [vocab] after its last token. Throws `signal`'s reason. */
  async prefill(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array> {
    for (let left = ids; ;) {
      await nextTask();
      signal?.throwIfAborted();
      const { count, logits } = await this.read(left);
      if (logits) return logits;
      left = left.slice(count);
    }
  }

  /** Forget all tokens from number `length` on. */
  async trim(length: number): Promise<void> {
    if (length >= this.length) return;
    await this.cache.trim(length);
    this.ids.length = length;
  }

  dispose(): void {
    this.cache.dispose();
  }
}
