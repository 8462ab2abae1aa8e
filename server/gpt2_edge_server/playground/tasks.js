/** Calls of which only the newest counts, and calls put together. */

import { isAbort } from "./backend.js";

export class Latest {
  constructor() {
    /** @private @type {AbortController | undefined} */
    this.running = undefined;
  }

  get busy() {
    return this.running !== undefined;
  }

  /**
   * What `call` gives, or undefined where a newer call or `stop` ended it.
   * @template T
   * @param {(signal: AbortSignal) => Promise<T>} call
   * @returns {Promise<T | undefined>}
   */
  async run(call) {
    this.stop();
    const own = new AbortController();
    this.running = own;
    try {
      const result = await call(own.signal);
      return own.signal.aborted ? undefined : result;
    } catch (error) {
      if (own.signal.aborted || isAbort(error)) return undefined;
      throw error;
    } finally {
      if (this.running === own) this.running = undefined;
    }
  }

  stop() {
    this.running?.abort();
    this.running = undefined;
  }
}

/**
 * Calls `call` when it has not been asked for `wait` ms.
 * @param {number} wait
 * @param {() => void} call
 */
export function settled(wait, call) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return {
    soon() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        timer = undefined;
        call();
      }, wait);
    },
    /** At once, if it is due. */
    now() {
      if (timer === undefined) return;
      this.cancel();
      call();
    },
    cancel() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

/** How long a page that is not drawn (another tab is in front) waits instead, in ms. */
const UNDRAWN = 200;

/**
 * Calls `call` once for each picture that the browser draws, however often it was asked for in
 * between: what comes faster than it can be drawn must not keep a key from being heard.
 * @param {() => void} call
 */
export function oncePerFrame(call) {
  let frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const due = () => {
    cancel();
    call();
  };
  const cancel = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    timer = undefined;
  };
  return {
    soon() {
      if (timer !== undefined) return;
      frame = requestAnimationFrame(due);
      timer = setTimeout(due, UNDRAWN);
    },
    /** At once, if it is due. */
    now() {
      if (timer !== undefined) due();
    },
    cancel,
  };
}
