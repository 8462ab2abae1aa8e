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

/** One option for the next token. */
export interface NextToken {
  readonly id: number;
  readonly text: string;
  /** The model's, 0 to 1 over the whole vocabulary. */
  readonly probability: number;
  /** With which it is drawn under the settings that were asked for; 0 for what they cut. */
  readonly drawn: number;
}

/** A token and the part of the prompt that it stands for. */
export interface PlacedToken {
  readonly id: number;
  readonly text: string;
  /**
   * In UTF-16 code units; tokens inside one character share its range. Null where the prompt was
   * given as ids.
   */
  readonly start: number | null;
  readonly end: number | null;
}

/** How likely a token of a text is, given all before it. */
export interface ScoredToken extends PlacedToken {
  /** Natural logarithm of its probability; null for the first token, which nothing precedes. */
  readonly logprob: number | null;
  /** 1 for the most likely token of the vocabulary; among equals the lower id comes first. */
  readonly rank: number | null;
  /** The most likely tokens there, most likely first. */
  readonly alternatives: readonly (Alternative & { readonly text: string })[];
}

/** The weights of attention: of each query, how much it attends to each key. */
export interface AttentionWeights {
  readonly tokens: readonly PlacedToken[];
  readonly layers: number;
  readonly heads: number;
  /** [layers, heads, tokens, tokens], row-major; each row sums to 1, and is 0 for later tokens. */
  readonly weights: Float32Array;
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
