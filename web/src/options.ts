/** What calls of `Generator` take beside prompt and settings. */

import type { DownloadOptions } from "./download.js";
import type { PromptCache } from "./prompt-cache.js";
import type { Provider, RuntimeOptions } from "./runtime.js";
import type { EncodeOptions } from "./tokenizer.js";

export interface LoadOptions extends DownloadOptions, RuntimeOptions {
  /** "wasm" (default of "auto" without a GPU), "webgpu", or "auto": the best that fits. */
  provider?: Provider | "auto";
}

export interface RunOptions {
  /** Aborting it ends a generation with what there is and finishReason "cancelled". */
  signal?: AbortSignal | undefined;
  /** Of `newCache`: what it holds of the prompt is not read again. */
  cache?: PromptCache;
}

export interface TextsOptions extends RunOptions {
  /** Is told what becomes certain of text number `index`. */
  onText?: (index: number, piece: string) => void;
}

/** Aborting its `signal` ends a call, which then throws the signal's reason. */
export interface CallOptions extends EncodeOptions {
  signal?: AbortSignal | undefined;
}

export interface ScoreOptions extends CallOptions {
  /** How many of the most likely tokens to report beside each one (default 0). */
  alternatives?: number;
}

/** `temperature` and the like are those of GenerationConfig; one that is left out changes nothing. */
export interface NextOptions extends CallOptions {
  /** How many (default 10). */
  k?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  /** Of `newCache`: one token more than the last prompt costs one step. */
  cache?: PromptCache;
}
