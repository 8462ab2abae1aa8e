/** What a generation came to, and how far it is. */

import type { Provider } from "./runtime.js";

/**
 * "eos"; "stop" (a stop string); "length" (maxNewTokens, or the context is full); "cancelled"
 * (the signal was aborted).
 */
export type FinishReason = "eos" | "stop" | "length" | "cancelled";

/** One generated token; `logprob` (natural logarithm) only where the config asks for it. */
export interface Token {
  readonly id: number;
  readonly logprob?: number;
}

/** One option for the next token, with its probability (0 to 1) over the whole vocabulary. */
export interface NextToken {
  readonly id: number;
  readonly text: string;
  readonly probability: number;
}

/** Times are in seconds, rates in tokens per second (0 where nothing was measured). */
export interface GenerationResult {
  /** The new text, without the prompt and without a stop string; null without a tokenizer. */
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
  readonly promptSeconds: number;
  readonly decodeSeconds: number;
  /** Speed of the prefill; the time includes choosing the first token. */
  readonly promptTokensPerSecond: number;
  /** Speed of the tokens after the first, which belongs to the prefill. */
  readonly decodeTokensPerSecond: number;
}

/** How far a generation is; shared by the layers of one call. */
export class GenerationState {
  finishReason: FinishReason = "length";
  readonly tokens: Token[] = [];
  #started = performance.now();
  #first: number | undefined;
  #latest: number | undefined;

  constructor(
    readonly promptTokens: number,
    readonly seed: number | bigint | null,
    readonly provider: Provider,
  ) {}

  start(): void {
    this.#started = performance.now();
  }

  push(token: Token): void {
    this.tokens.push(token);
    this.#latest = performance.now();
    this.#first ??= this.#latest;
  }

  result(text: string | null, withLogprobs: boolean): GenerationResult {
    const first = this.#first ?? performance.now();
    const promptSeconds = (first - this.#started) / 1000;
    const decodeSeconds = ((this.#latest ?? first) - first) / 1000;
    const later = this.tokens.length - 1;
    return {
      text,
      ids: this.tokens.map((token) => token.id),
      finishReason: this.finishReason,
      promptTokens: this.promptTokens,
      seed: this.seed,
      provider: this.provider,
      logprobs: withLogprobs ? this.tokens.map((token) => token.logprob ?? 0) : null,
      promptSeconds,
      decodeSeconds,
      promptTokensPerSecond: promptSeconds > 0 ? this.promptTokens / promptSeconds : 0,
      decodeTokensPerSecond: later > 0 && decodeSeconds > 0 ? later / decodeSeconds : 0,
    };
  }
}
