/** What generating gives back. */

import type { Provider } from "./runtime.js";

/**
 * "eos"; "stop" (a stop string); "length" (maxNewTokens, or the context is full); "time"
 * (maxTime); "cancelled" (the signal was aborted, or the stream was left early).
 */
export type FinishReason = "eos" | "stop" | "length" | "time" | "cancelled";

/** One generated token; `logprob` (natural logarithm) only where the config asks for it. */
export interface Token {
  readonly id: number;
  readonly logprob?: number;
}

/** One of the most likely tokens at some place, with the natural logarithm of its probability. */
export interface Alternative {
  readonly id: number;
  readonly logprob: number;
}

/** What a step added to a text: text that became certain, and the tokens that it wrote. */
export interface TextEvent {
  /** The text of a token may come with a later event. */
  readonly text: string;
  readonly ids: readonly number[];
  /** Of each of `ids`, where the config asks for them. */
  readonly logprobs: readonly number[];
  /** For each of `ids` the most likely tokens there, where the config asks for them. */
  readonly topLogprobs: readonly (readonly Alternative[])[];
}

/** One option for the next token, with its probability (0 to 1) over the whole vocabulary. */
export interface NextToken {
  readonly id: number;
  readonly text: string;
  readonly probability: number;
}

/**
 * Times are the model's, in seconds, without what a reader of the stream did between two tokens;
 * rates are in tokens per second (0 where nothing was measured).
 */
export interface GenerationResult {
  /** The new text, without the prompt; null without a tokenizer. */
  readonly text: string | null;
  /** All new token ids, the end-of-text token or those of a stop string included. */
  readonly ids: readonly number[];
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  /** Of the random generator; null for greedy decoding. */
  readonly seed: number | bigint | null;
  readonly provider: Provider;
  /** One for each id, where the config asked for them. */
  readonly logprobs: readonly number[] | null;
  /** For each id the most likely tokens there, where the config asked for them. */
  readonly topLogprobs: readonly (readonly Alternative[])[] | null;
  readonly promptSeconds: number;
  readonly decodeSeconds: number;
  /** Speed of the prefill; the time includes choosing the first token. */
  readonly promptTokensPerSecond: number;
  /** Speed of the tokens after the first, which belongs to the prefill. */
  readonly decodeTokensPerSecond: number;
}
