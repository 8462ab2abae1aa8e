/**
 * Lets the page handle what came in meanwhile: on the processor a step's promise is kept before
 * anything else gets its turn. setTimeout would wait 4 ms, and a second in a hidden tab.
 */
export function nextTask(): Promise<void> {
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** What `work` comes to, or the reason of `signal` as soon as it is aborted; the work goes on. */
export async function unlessAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return work;
  work.catch(() => undefined); // nobody may be left to hear of it
  signal.throwIfAborted();
  const done = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const options = { once: true, signal: done.signal };
    signal.addEventListener("abort", () => reject(signal.reason as Error), options);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    done.abort();
  }
}
