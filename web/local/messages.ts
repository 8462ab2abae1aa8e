/** What the page and the worker with the model say to each other. */

/** From the page: a call, or the end of one. */
export type Request =
  | { readonly id: number; readonly call: string; readonly args: readonly unknown[] }
  | { readonly id: number; readonly abort: true };

/** From the worker: what a call tells on its way, and what it comes to. */
export type Reply =
  | { readonly id: number; readonly event: readonly unknown[] }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string } };
