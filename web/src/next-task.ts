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
