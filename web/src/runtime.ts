/** ONNX Runtime itself: which build of onnxruntime-web is loaded, and how it is set up. */

import type * as Ort from "onnxruntime-web";

import type { RemoteFile } from "./download.js";
import { ProviderError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { reason as reasonOf, shown } from "./untrusted.js";

/**
 * An execution provider: "wasm" is the processor by WebAssembly, "cpu" the processor by Node's
 * onnxruntime-node.
 */
export type Provider = "wasm" | "webgpu" | "cpu";
export const PROVIDERS: readonly Provider[] = ["wasm", "webgpu", "cpu"];

/** A .wasm file, and what it is for. */
export interface RuntimeFile extends RemoteFile {
  readonly provider: Provider;
}

export type OrtModule = typeof Ort;

export interface RuntimeOptions {
  /**
   * Threads on the processor. Default of WebAssembly: 1 where the page is not cross-origin isolated
   * (browsers then have no shared memory) and outside of browsers, else half of the logical
   * processors, at most 4; of onnxruntime-node: one for each core.
   */
  threads?: number;
  /**
   * Run the processor's work in a worker, so that a step does not block the page (default false).
   * Needs onnxruntime-web as a file of its own: not inlined by a bundler.
   */
  worker?: boolean;
  /**
   * On WebAssembly, turn matrices in blocks of 4 or 8 bits into floats on loading. They then take up
   * to 8 times the memory and decode several times as fast, because WebAssembly's kernel for few
   * bits does the same at every step. Default: true where the floats take up to 640 MB.
   */
  floatWeights?: boolean;
  /** Where onnxruntime-web's .wasm and .mjs files lie, if not beside its script. */
  wasmPaths?: string;
  /**
   * The .wasm file of each provider: it is then loaded with the package, counted in its progress,
   * compared with its hash and kept like the package's own files.
   */
  wasmFiles?: Readonly<Partial<Record<Exclude<Provider, "cpu">, RemoteFile>>>;
}

const LOG_LEVEL = "fatal"; // errors are thrown, and need not be printed too
const MOST_THREADS = 4;
const MOST_FLOAT_BYTES = 640e6; // GPT-2 of 124M takes 494e6
const FALLBACK_ARCHITECTURES = ["swiftshader", "llvmpipe"];

// ONNX Runtime is set up once a page: what the first load asked for stays.
const started = new Map<Provider, { threads: number; worker: boolean; wasmPaths: string }>();

/** The .wasm file that `provider` still needs, if it is to come with the package. */
export function runtimeFile(provider: Provider, { wasmFiles }: RuntimeOptions): RuntimeFile | null {
  if (provider === "cpu") return null;
  const file = started.has(provider) ? undefined : wasmFiles?.[provider];
  return file ? { provider, ...file } : null;
}

/** The build of onnxruntime-web with `provider`, set up; `binary`: its .wasm file, if it is here. */
export async function loadRuntime(
  provider: Provider,
  options: RuntimeOptions,
  binary: Uint8Array | null = null,
): Promise<OrtModule> {
  const threads = wantedThreads(options.threads, provider);
  if (provider === "cpu") return nativeRuntime();
  const wanted = {
    threads,
    worker: provider === "wasm" && (options.worker ?? false) && "document" in globalThis,
    wasmPaths: options.wasmPaths ?? "",
  };
  const before = started.get(provider);
  for (const key of ["threads", "worker", "wasmPaths"] as const) {
    if (before && options[key] !== undefined && before[key] !== wanted[key]) {
      throw new ProviderError(
        `${key} is ${wanted[key]}, but ONNX Runtime runs with ${before[key]} in this page ` +
          "already, and cannot change it; reload the page",
      );
    }
  }
  const ort: OrtModule =
    provider === "webgpu"
      ? await import("onnxruntime-web/webgpu")
      : await import("onnxruntime-web/wasm");
  if (!before) {
    started.set(provider, wanted);
    ort.env.logLevel = LOG_LEVEL;
    ort.env.wasm.numThreads = wanted.threads;
    ort.env.wasm.proxy = wanted.worker;
    if (wanted.wasmPaths) ort.env.wasm.wasmPaths = wanted.wasmPaths;
    if (binary) ort.env.wasm.wasmBinary = binary;
  }
  return ort;
}

let native: Promise<OrtModule> | null = null;

/** onnxruntime-node, set up. ProviderError where it is not installed, or this is not Node. */
function nativeRuntime(): Promise<OrtModule> {
  native ??= importInNode().then(
    (ort) => {
      ort.env.logLevel = LOG_LEVEL;
      return ort;
    },
    (error: unknown) => {
      native = null; // it may be installed meanwhile
      throw new ProviderError(
        `provider cpu is not there (${reasonOf(error)}); it needs Node and the package ` +
          "onnxruntime-node; use provider wasm or auto",
        { cause: error },
      );
    },
  );
  return native;
}

async function importInNode(): Promise<OrtModule> {
  if (!globalThis.process?.versions?.node) throw new Error("this is not Node");
  const { importNative } = await import("#native");
  return (await importNative()) as OrtModule;
}

/** Whether matrices are to become floats on loading; see RuntimeOptions.floatWeights. */
export function wantsFloatWeights(
  { architecture, graph, groups }: Manifest,
  provider: Provider,
  options: RuntimeOptions,
): boolean {
  // 8 bits by row go through integer products, which are in every flavour what they are.
  const inBlocks = groups.some(({ bits, blockSize }) => blockSize !== null && bits <= 8);
  if (provider !== "wasm" || !["fused", "portable"].includes(graph.flavour) || !inBlocks) {
    return false;
  }
  const { numLayers, hiddenSize, vocabSize } = architecture;
  // A block's four matrices, with GPT-2's usual inner size, and the table of tokens.
  const weights = 12 * numLayers * hiddenSize ** 2 + vocabSize * hiddenSize;
  return options.floatWeights ?? weights * Float32Array.BYTES_PER_ELEMENT <= MOST_FLOAT_BYTES;
}

/** Providers to try, best first; `reason` says why "auto" leaves out WebGPU. */
export interface ProviderChoice {
  readonly providers: readonly Provider[];
  readonly reason: string | null;
}

/** What to try for `asked`. ProviderError for a provider that is not there. */
export async function providersFor(
  asked: Provider | "auto",
  manifest: Manifest,
): Promise<ProviderChoice> {
  if (asked === "wasm") return { providers: ["wasm"], reason: null };
  if (asked === "cpu") {
    await nativeRuntime();
    return { providers: ["cpu"], reason: null };
  }
  if (asked === "auto") {
    const isNative = await nativeRuntime().catch(() => null);
    if (isNative) return { providers: ["cpu"], reason: "in Node, onnxruntime-node computes" };
    const reason = whyNotWebGpu(manifest) ?? whyNotAuto(manifest) ?? (await whyNoAdapter(true));
    return { providers: reason === null ? ["webgpu", "wasm"] : ["wasm"], reason };
  }
  if (asked !== "webgpu") {
    throw new ProviderError(`provider ${shown(asked)} is not one of auto, ${PROVIDERS.join(", ")}`);
  }
  const reason = whyNotWebGpu(manifest) ?? (await whyNoAdapter(false));
  if (reason !== null) throw new ProviderError(`${reason}; use provider wasm or auto`);
  return { providers: ["webgpu"], reason: null };
}

function whyNotWebGpu({ graph }: Manifest): string | null {
  return graph.cacheDtype === "float32"
    ? null
    : `provider webgpu does not run a cache of ${graph.cacheDtype}`;
}

/**
 * 8-bit matrices with one scale an output go through integer products that WebGPU leaves to the
 * processor, so that every one of them would copy its inputs back and forth.
 */
function whyNotAuto({ groups }: Manifest): string | null {
  return groups.every((group) => group.bits !== 8 || group.blockSize !== null)
    ? null
    : "provider webgpu leaves 8-bit matrices with one scale an output to the processor";
}

async function whyNoAdapter(real: boolean): Promise<string | null> {
  const adapter = await gpuAdapter();
  if (!adapter) return "provider webgpu is not there: no WebGPU adapter in this browser or machine";
  return real && isSoftware(adapter) ? "the WebGPU adapter here is software" : null;
}

async function gpuAdapter(): Promise<GPUAdapter | null> {
  const gpu = globalThis.navigator?.gpu as GPU | undefined;
  try {
    return (await gpu?.requestAdapter()) ?? null;
  } catch {
    return null; // some browsers throw where there is none
  }
}

function isSoftware({ info }: GPUAdapter): boolean {
  return info.isFallbackAdapter || FALLBACK_ARCHITECTURES.includes(info.architecture);
}

function wantedThreads(asked: number | undefined, provider: Provider): number {
  if (asked !== undefined && !(Number.isInteger(asked) && asked >= 1)) {
    throw new ProviderError(`threads is ${shown(asked)}; it must be a whole number of at least 1`);
  }
  if (provider === "cpu") return asked ?? 0; // ONNX Runtime's own choice
  const shared = globalThis.crossOriginIsolated ?? false; // not defined outside of browsers
  if (asked !== undefined && asked > 1 && !shared) {
    const advice =
      "document" in globalThis || "WorkerGlobalScope" in globalThis
        ? "the page is not cross-origin isolated; serve it with the headers " +
          "Cross-Origin-Opener-Policy: same-origin and " +
          "Cross-Origin-Embedder-Policy: require-corp, or take 1 thread"
        : "onnxruntime-web/wasm starts threads in browsers only; take 1 thread, or provider cpu";
    throw new ProviderError(`threads is ${asked}, but ${advice}`);
  }
  const processors = globalThis.navigator?.hardwareConcurrency ?? 1;
  return asked ?? (shared ? Math.min(MOST_THREADS, Math.ceil(processors / 2)) : 1);
}
