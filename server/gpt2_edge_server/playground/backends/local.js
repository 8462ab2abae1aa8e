/**
 * The model in the browser itself: web/ of this project on onnxruntime-web, in a worker. Only the
 * static build of the page has it (`npm run playground` in web/), under `local/`.
 *
 * @typedef {import("../backend.js").Backend} Backend
 * @typedef {import("../backend.js").PackageSource} PackageSource
 */

/** Of the package that was loaded last, so that a reload finds it. */
const ADDRESS = "gpt2-edge/package";
/** Beside the page, where nothing else was asked for. */
const DEFAULT_ADDRESS = "package/";
const WORKER = new URL("../local/worker.js", import.meta.url);
const SERVICE_WORKER = new URL("../service-worker.js", import.meta.url);

/** @returns {Backend} */
export function createBackend() {
  const worker = new ModelWorker();
  /** @type {PackageSource} */
  let source = { url: firstAddress() };
  // Without it (a private window, http:) the page works, but not offline.
  navigator.serviceWorker?.register(SERVICE_WORKER).catch(() => {});
  return {
    get packageAddress() {
      return "url" in source && !fromDisk(source.url) ? source.url : "";
    },
    choosePackage(chosen) {
      source = "url" in chosen ? { url: new URL(chosen.url, document.baseURI).href } : chosen;
    },
    async load({ onProgress, signal }) {
      const asked = source;
      const address = await worker.call("load", [withBase(asked)], signal, onProgress);
      remember(address);
    },
    info: () => worker.call("info", []),
    tokenize: (text) => worker.call("tokenize", [text]),
    next: (text, { signal, ...options }) => worker.call("next", [text, options], signal),
    write: (text, { signal, onText, ...options }) =>
      worker.call("write", [text, options], signal, onText),
    score: (text, { signal, ...options }) => worker.call("score", [text, options], signal),
    attention: (text, { signal }) => worker.call("attention", [text], signal),
    selfTest: ({ signal }) => worker.call("selfTest", [], signal),
  };
}

/** What the page's address names (`?package=…`), else what was loaded last, else the page's own. */
function firstAddress() {
  const asked = new URLSearchParams(location.search).get("package");
  if (asked) return asked;
  try {
    return localStorage.getItem(ADDRESS) ?? DEFAULT_ADDRESS;
  } catch {
    return DEFAULT_ADDRESS;
  }
}

/** @param {string} address */
function remember(address) {
  try {
    localStorage.setItem(ADDRESS, address);
  } catch {
    // No room: the next visit begins with the page's own package.
  }
  const here = new URL(location.href);
  if (!here.searchParams.has("package")) return;
  here.searchParams.delete("package");
  if (!fromDisk(address)) here.searchParams.set("package", address);
  history.replaceState(history.state, "", here);
}

/** Packages from disk have a made-up address, by which a reload finds what was kept of them. */
function fromDisk(/** @type {string} */ address) {
  return URL.canParse(address) && new URL(address).hostname.endsWith(".invalid");
}

/** Addresses are relative to the page; the worker has another one. @param {PackageSource} source */
function withBase(source) {
  if (!("url" in source)) return source;
  if (!URL.canParse(source.url, document.baseURI)) {
    throw new Error(`“${source.url}” is no address of a package.`);
  }
  return { url: new URL(source.url, document.baseURI).href };
}

/** Calls to the worker, each with its number. */
class ModelWorker {
  constructor() {
    /** @private @type {Worker | undefined} */
    this.worker = undefined;
    /**
     * @private
     * @type {Map<number, {resolve(value: any): void, reject(error: Error): void, tell?: Function}>}
     */
    this.waiting = new Map();
    /** @private */
    this.calls = 0;
  }

  /**
   * @param {string} call
   * @param {unknown[]} args
   * @param {AbortSignal} [signal]
   * @param {(...event: any[]) => void} [tell]
   * @returns {Promise<any>}
   */
  async call(call, args, signal, tell) {
    signal?.throwIfAborted();
    const worker = (this.worker ??= this.start());
    const id = ++this.calls;
    const abort = () => worker.postMessage({ id, abort: true });
    signal?.addEventListener("abort", abort);
    try {
      return await new Promise((resolve, reject) => {
        this.waiting.set(id, { resolve, reject, ...(tell && { tell }) });
        worker.postMessage({ id, call, args });
      });
    } finally {
      this.waiting.delete(id);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** @private */
  start() {
    const worker = new Worker(WORKER, { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      const call = this.waiting.get(data.id);
      if (!call) return;
      if (data.event) call.tell?.(...data.event);
      else if (data.error) call.reject(errorOf(data.error));
      else call.resolve(data.result);
    });
    worker.addEventListener("error", (event) => {
      // It could not be loaded, or memory ran out: the next load starts another one.
      worker.terminate();
      this.worker = undefined;
      const reason = event.message ? ` (${event.message})` : "";
      const error = new Error(`The model stopped${reason}. Load it again.`);
      for (const { reject } of this.waiting.values()) reject(error);
    });
    return worker;
  }
}

/** @param {{name: string, message: string}} error */
function errorOf({ name, message }) {
  if (name === "AbortError") return new DOMException(message, name);
  const sentence = message.charAt(0).toUpperCase() + message.slice(1);
  return new Error(/[.?!…]$/.test(sentence) ? sentence : `${sentence}.`);
}
