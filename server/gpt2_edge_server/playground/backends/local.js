/**
 * The model in the browser itself: web/ of this project on onnxruntime-web, in a worker. Only the
 * static build of the page has it (`npm run playground` in web/), under `local/`.
 *
 * @typedef {import("../backend.js").Backend} Backend
 * @typedef {import("../backend.js").PackageSource} PackageSource
 */

/** Of the package that was chosen last, so that a reload finds it; behind it the page's folder. */
const ADDRESS = "gpt2-edge/package/";
/** What an earlier version kept for all playgrounds of a site at once, links' packages among it. */
const ADDRESS_BEFORE = "gpt2-edge/package";
/** Beside the page, where nothing else was asked for. */
const DEFAULT_ADDRESS = "package/";
const WORKER = new URL("../local/worker.js", import.meta.url);
const SERVICE_WORKER = new URL("../service-worker.js", import.meta.url);

/** @returns {Backend} */
export function createBackend() {
  const worker = new ModelWorker();
  /** @type {{source: PackageSource, by: "address" | "kept" | "page" | "choice"}} */
  let wanted = firstWanted();
  /** What was loaded last, or else is loaded first. */
  let before = wanted;
  /** What was kept of an earlier visit did not load. */
  let failed = false;
  /** What is loaded; another worker loads it again. @type {PackageSource | undefined} */
  let loaded;
  /**
   * @param {string} call
   * @param {unknown[]} args
   * @param {AbortSignal} [signal]
   * @param {(...event: any[]) => void} [tell]
   */
  const ask = async (call, args, signal, tell) => {
    // Another worker has yet to load it: no signal of a call ends that, the next call needs it too.
    if (loaded) await unlessAborted(worker.withModel(loaded), signal);
    return worker.call(call, args, signal, tell);
  };
  /** @param {typeof wanted} what @param {import("../backend.js").LoadOptions} options */
  const load = async (what, { onProgress, signal }) => {
    const { source, by } = what;
    const asked = withBase(source);
    const address = await worker.load(asked, signal, onProgress);
    loaded = asked;
    before = what;
    // A link is one visit's: whoever follows it has chosen nothing for the next ones.
    if (by !== "address") keep(address);
    showInAddress(address);
  };
  // Without it (a private window, http:) the page works, but not offline.
  navigator.serviceWorker?.register(SERVICE_WORKER).catch(() => {});
  return {
    get packageAddress() {
      if (failed) return DEFAULT_ADDRESS;
      const { source } = wanted;
      return "url" in source && !fromDisk(source.url) ? source.url : "";
    },
    choosePackage(source) {
      wanted = { source, by: "choice" };
      failed = false;
    },
    async load(options) {
      failed = false;
      const first = wanted;
      try {
        await load(first, options);
      } catch (error) {
        if (options.signal?.aborted || wanted !== first) throw error;
        if ("files" in first.source) wanted = before; // another try is not for what cannot be loaded
        if (first.by !== "kept") throw error;
        failed = true; // the page's own package is offered
        if (!("url" in first.source) || !fromDisk(first.source.url)) throw error;
        // It was kept nowhere else: to try it again would be in vain.
        wanted = { source: { url: DEFAULT_ADDRESS }, by: "page" };
        await load(wanted, options).catch(() => {
          throw error;
        });
        failed = false;
      }
    },
    info: () => ask("info", []),
    tokenize: (text) => ask("tokenize", [text]),
    next: (text, { signal, ...options }) => ask("next", [text, options], signal),
    write: (text, { signal, onText, ...options }) => ask("write", [text, options], signal, onText),
    score: (text, { signal, ...options }) => ask("score", [text, options], signal),
    attention: (text, { signal }) => ask("attention", [text], signal),
    selfTest: ({ signal }) => ask("selfTest", [], signal),
  };
}

/**
 * What the page's address names (`?package=…`), else what was chosen last, else the page's own.
 * @returns {{source: PackageSource, by: "address" | "kept" | "page"}}
 */
function firstWanted() {
  const named = new URLSearchParams(location.search).get("package");
  if (named) return { source: { url: named }, by: "address" };
  const kept = keptAddress();
  if (kept) return { source: { url: kept }, by: "kept" };
  return { source: { url: DEFAULT_ADDRESS }, by: "page" };
}

function keptAddress() {
  try {
    localStorage.removeItem(ADDRESS_BEFORE);
    return localStorage.getItem(storageKey());
  } catch {
    return null;
  }
}

/** @param {string} address */
function keep(address) {
  try {
    localStorage.setItem(storageKey(), address);
  } catch {
    // No room: the next visit begins with the page's own package.
  }
}

/** Other playgrounds of the same site have their own. */
function storageKey() {
  return ADDRESS + new URL(".", document.baseURI).pathname.slice(1);
}

/** Where the page's address names a package, it is the one that is loaded. @param {string} address */
function showInAddress(address) {
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
    /**
     * Of the worker there is: until it has a model, and calls can be answered.
     * @private @type {Promise<void> | undefined}
     */
    this.ready = undefined;
    /** Ends the load that only `withModel` asked for. @private @type {AbortController | undefined} */
    this.reloading = undefined;
  }

  /**
   * Loads what was chosen; the model there is until then stays. Resolves to the package's address.
   * @param {PackageSource} source
   * @param {AbortSignal} [signal]
   * @param {(...event: any[]) => void} [tell]
   * @returns {Promise<string>}
   */
  async load(source, signal, tell) {
    if (this.reloading) {
      this.reloading.abort(); // it would take this one's place
      this.reloading = this.ready = undefined;
    }
    const loading = this.call("load", [source], signal, tell);
    const { worker } = this;
    if (!this.ready) this.begin(loading);
    const address = await loading;
    if (this.worker === worker) this.ready = Promise.resolve();
    return address;
  }

  /**
   * Resolves when the worker has a model: another worker than the last one loads `source`.
   * @param {PackageSource} source
   * @returns {Promise<void>}
   */
  withModel(source) {
    if (this.ready) return this.ready;
    // Many calls wait for it: the signal of none ends it.
    const control = (this.reloading = new AbortController());
    const done = () => {
      if (this.reloading === control) this.reloading = undefined;
    };
    const loading = this.call("load", [source], control.signal);
    loading.then(done, done);
    return this.begin(loading);
  }

  /** @private @param {Promise<unknown>} loading */
  begin(loading) {
    const ready = loading.then(() => {});
    this.ready = ready;
    ready.catch(() => {
      if (this.ready === ready) this.ready = undefined;
    });
    return ready;
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
      else if (!data.error) call.resolve(data.result);
      // What was downloaded is kept; the next load begins in another worker.
      else if (data.error.name === "StartError") this.stop(errorOf(data.error));
      else call.reject(errorOf(data.error));
    });
    worker.addEventListener("error", ({ message }) => {
      // It could not be loaded, or memory ran out.
      const reason = message ? ` (${message})` : "";
      this.stop(new Error(`The model stopped${reason}. Try again.`));
    });
    return worker;
  }

  /** @private @param {Error} error  What every call comes to that waits. */
  stop(error) {
    this.worker?.terminate();
    this.worker = this.ready = this.reloading = undefined;
    for (const { reject } of this.waiting.values()) reject(error);
  }
}

/**
 * What `promise` comes to, unless `signal` is aborted before.
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal?.removeEventListener("abort", abort));
  });
}

/** @param {{name: string, message: string}} error */
function errorOf({ name, message }) {
  if (name === "AbortError") return new DOMException(message, name);
  const sentence = message.charAt(0).toUpperCase() + message.slice(1);
  return new Error(/[.?!…]$/.test(sentence) ? sentence : `${sentence}.`);
}
