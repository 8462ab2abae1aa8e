/** Calls of which only the newest counts. */

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
