/** The ONNX Runtime session of a package. */

import type { InferenceSession, Tensor } from "onnxruntime-web";

import { AppendedCache } from "./appended-cache.js";
import { cacheNames, GrowingCache, SharedGpuCache, type Cache } from "./cache.js";
import { PackageError, ProviderError } from "./errors.js";
import { checkGraph, checkPositions, checkVersion } from "./graph-check.js";
import { withFloatWeights } from "./float-weights.js";
import { withoutDefault } from "./graph-edit.js";
import { signedWeightsOverflow } from "./int8-overflow.js";
import type { Manifest } from "./manifest.js";
import { namingNewRows, withNewRows } from "./new-rows.js";
import { fileUrl, type Package } from "./package.js";
import { loadRuntime, wantsFloatWeights, type OrtModule, type Provider } from "./runtime.js";
import type { ProviderChoice, RuntimeOptions } from "./runtime.js";
import { TokenSequence } from "./sequence.js";
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
    /** Whether the graph gives the new tokens' keys and values only. */
    private readonly appends: boolean,
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
    const library = provider === "cpu" ? "onnxruntime-node" : "onnxruntime-web";
    const version = ort.env.versions[provider === "cpu" ? "node" : "web"] ?? "0";
    checkVersion(manifest, `${library} ${version}`);
    const onGpu = cacheNames(manifest).map(({ present }) => [present, "gpu-buffer"] as const);
    const floatWeights = wantsFloatWeights(manifest, provider, options);
    const { logitsToKeep } = manifest.graph.names;
    // A worker takes the memory of what it is given; a GPU keeps the cache where it is.
    const appends = provider === "cpu" || (provider === "wasm" && !ort.env.wasm.proxy);
    let onnx: InferenceSession;
    try {
      // onnxruntime-web neither lists nor takes an input that has a default.
      let graph = logitsToKeep === null ? source.graph : withoutDefault(source.graph, logitsToKeep);
      if (appends) graph = withNewRows(graph, manifest);
      if (floatWeights && manifest.graph.flavour === "fused") graph = withFloatWeights(graph);
      onnx = await ort.InferenceSession.create(graph, {
        executionProviders: [provider],
        externalData: [...source.weights].map(([path, data]) => ({ path, data })),
        enableMemPattern: false, // plans memory anew for every shape, and ours change each token
        logSeverityLevel: FATAL,
        // So constant folding takes the DequantizeLinear of weights, and no fusion does.
        ...(floatWeights && { extra: { session: { disable_quant_qdq: "1" } } }),
        ...(provider === "cpu" && (await nativeOptions(ort, manifest, options))),
        ...(provider === "webgpu" && { preferredOutputLocation: Object.fromEntries(onGpu) }),
      });
    } catch (error) {
      const kind = provider === "webgpu" ? ProviderError : PackageError;
      throw new kind(
        `${url} cannot be loaded by ${library} ${version} on ${provider}: ${reasonOf(error)}`,
        { cause: error },
      );
    }
    const named = appends ? namingNewRows(manifest) : manifest;
    const session = new Session(ort, onnx, named, provider, reason, appends);
    try {
      checkGraph(onnx, named, url);
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

  /** Whether the graph takes several rows at once. */
  get batches(): boolean {
    const { names } = this.manifest.graph;
    const entry = this.onnx.inputMetadata.find(({ name }) => name === names.inputIds);
    return this.provider !== "webgpu" && !!entry?.isTensor && typeof entry.shape[0] !== "number";
  }

  /**
   * One run on `cache`: the tokens of each of its rows, at `positions`, the last of `total` tokens.
   * `wanted` are the outputs beside the cache's; of logits, the last `keep` of each row.
   */
  runStep(
    cache: Cache,
    rows: readonly (readonly number[])[],
    positions: readonly number[],
    total: number,
    keep: number,
    wanted: readonly string[],
  ): Promise<Record<string, Tensor>> {
    const { names } = this.manifest.graph;
    const integers = (values: BigInt64Array): Tensor =>
      new this.ort.Tensor("int64", values, [rows.length, values.length / rows.length]);
    const matrix = (values: readonly number[]) => integers(BigInt64Array.from(values, BigInt));
    const feeds: Record<string, Tensor> = {
      ...cache.feeds,
      [names.inputIds]: matrix(rows.flat()),
      [names.attentionMask]: integers(new BigInt64Array(rows.length * total).fill(1n)),
    };
    if (names.positionIds !== null) {
      feeds[names.positionIds] = matrix(rows.flatMap(() => positions));
    }
    if (names.logitsToKeep !== null && this.onnx.inputNames.includes(names.logitsToKeep)) {
      const count = BigInt64Array.of(BigInt(keep));
      feeds[names.logitsToKeep] = new this.ort.Tensor("int64", count, [1]);
    }
    const fetches = Object.fromEntries(wanted.map((name) => [name, null]));
    return this.run(feeds, { ...fetches, ...cache.fetches });
  }

  async #newCache(capacity: number): Promise<Cache> {
    const { ort, manifest, provider } = this;
    const isShared = manifest.graph.cache === "shared";
    if (this.appends) {
      return new AppendedCache(ort, manifest, isShared && provider === "cpu", capacity);
    }
    return isShared && provider === "webgpu"
      ? SharedGpuCache.make(ort, manifest, capacity)
      : new GrowingCache(ort, manifest);
  }

  /** Free the graph's memory; nothing can be run afterwards. */
  async dispose(): Promise<void> {
    await this.#last;
    await this.onnx.release();
  }
}

/** What a session of onnxruntime-node is made with. */
async function nativeOptions(
  ort: OrtModule,
  { groups }: Manifest,
  { threads }: RuntimeOptions,
): Promise<InferenceSession.SessionOptions> {
  const byRow = groups.some(({ bits, blockSize }) => bits === 8 && blockSize === null);
  return {
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    ...(byRow &&
      (await signedWeightsOverflow(ort)) && { extra: { session: { x64quantprecision: "1" } } }),
  };
}
