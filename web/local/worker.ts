/**
 * The worker that holds the model, so that the page never waits for a step. It answers the calls of
 * backends/local.js, each with its number.
 */

import {
  chosenPackage,
  Generator,
  keptFiles,
  type ChosenPackage,
  type Progress,
  type Provider,
  type RemoteFile,
} from "../src/index.js";
import { DISK } from "../src/chosen-files.js";
import type { Reply, Request } from "./messages.js";
import { PlaygroundModel } from "./model.js";

/** ONNX Runtime's .wasm files beside this one; the build fills it in. */
declare const WASM_FILES: Readonly<
  Record<Exclude<Provider, "cpu">, { file: string; bytes: number; sha256: string }>
>;

const here = new URL(".", import.meta.url);
const wasmFiles = Object.fromEntries(
  Object.entries(WASM_FILES).map(([provider, { file, ...record }]) => [
    provider,
    { url: new URL(file, here).href, ...record } satisfies RemoteFile,
  ]),
);
const keep = keptFiles();
const calls = new Map<number, AbortController>();
let model: PlaygroundModel | null = null;

type Tell = (...event: unknown[]) => void;
type Source = { readonly url: string } | { readonly files: readonly File[] };

/** ONNX Runtime did not start, or not with this package: it tries that once in a worker's life. */
class StartError extends Error {
  override name = "StartError";
}

/** What a page may be given as the address of a package; one from disk is only there if kept. */
function addressed(url: string): ChosenPackage | { url: string } {
  if (!url.startsWith(DISK)) return { url };
  const fetch = (): Promise<Response> =>
    Promise.reject(new Error("it came from this device and is kept no more: choose its folder"));
  return { url, fetch };
}

/** Loads what `source` says; the model there was stays until it is there. Returns its address. */
async function load(source: Source, signal: AbortSignal, tell: Tell): Promise<string> {
  const chosen = "files" in source ? chosenPackage(source.files) : addressed(source.url);
  let told = 0;
  let complete = false;
  const onProgress = ({ loaded, total }: Progress): void => {
    complete = loaded >= total;
    const now = performance.now();
    if (now - told < 50 && loaded < total) return;
    told = now;
    tell({ label: loaded < total ? "Loading the model" : "Starting the model", loaded, total });
  };
  const loading = Generator.load(chosen.url, {
    ...("fetch" in chosen && { fetch: chosen.fetch }),
    ...(keep && { keep }),
    provider: "auto",
    wasmPaths: here.href,
    wasmFiles,
    signal,
    onProgress,
  });
  const generator = await loading.catch((error: unknown) => {
    throw complete && !model ? new StartError((error as Error).message, { cause: error }) : error;
  });
  if (signal.aborted) {
    await generator.dispose();
    signal.throwIfAborted();
  }
  const before = model;
  model = new PlaygroundModel(generator);
  await before?.dispose();
  return chosen.url;
}

function loaded(): PlaygroundModel {
  if (!model) throw new Error("No model is loaded yet.");
  return model;
}

/** What `call` comes to. */
async function answer(
  call: string,
  [first, second]: readonly unknown[],
  signal: AbortSignal,
  tell: Tell,
): Promise<unknown> {
  const text = first as string;
  switch (call) {
    case "load":
      return load(first as Source, signal, tell);
    case "info":
      return loaded().info();
    case "tokenize":
      return loaded().tokenize(text);
    case "next":
      return loaded().next(text, second as Parameters<PlaygroundModel["next"]>[1], signal);
    case "write":
      return loaded().write(
        text,
        second as Parameters<PlaygroundModel["write"]>[1],
        signal,
        (index, piece) => tell(index, piece),
      );
    case "score":
      return loaded().score(text, second as { alternatives: number }, signal);
    case "attention":
      return loaded().attention(text, signal);
    case "selfTest":
      return loaded().selfTest(signal);
  }
  throw new Error(`the model has no ${call}`);
}

function reply(message: Reply): void {
  const weights = "result" in message && (message.result as { weights?: unknown } | null)?.weights;
  postMessage(message, { transfer: weights instanceof Float32Array ? [weights.buffer] : [] });
}

addEventListener("message", async ({ data }: MessageEvent<Request>) => {
  const { id } = data;
  if ("abort" in data) {
    calls.get(id)?.abort();
    return;
  }
  const control = new AbortController();
  calls.set(id, control);
  try {
    const tell: Tell = (...event) => reply({ id, event });
    reply({ id, result: await answer(data.call, data.args, control.signal, tell) });
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const name = control.signal.aborted ? "AbortError" : error.name;
    reply({ id, error: { name, message: error.message } });
  } finally {
    calls.delete(id);
  }
});
