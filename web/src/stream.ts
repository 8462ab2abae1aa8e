/** A generation as it is read: pieces of text, or events, and the record at its end. */

import { GenerationError } from "./errors.js";
import type { TextRequest } from "./request.js";
import { resultOf } from "./record.js";
import type { GenerationResult, TextEvent, Token } from "./result.js";
import type { Provider } from "./runtime.js";

/** What each step adds to a text; then `result`. */
export class EventStream implements AsyncIterableIterator<TextEvent> {
  constructor(
    private readonly steps: AsyncGenerator<TextEvent, void, undefined>,
    private readonly request: TextRequest,
    private readonly provider: Provider,
  ) {}

  async next(): Promise<IteratorResult<TextEvent, undefined>> {
    const step = await this.steps.next();
    return step.done ? { done: true, value: undefined } : step;
  }

  /**
   * Called by `for await` on leaving it early: frees the cache, and ends the text with
   * finishReason "cancelled" unless it was over.
   */
  async return(): Promise<IteratorResult<TextEvent, undefined>> {
    await this.steps.return();
    this.request.end("cancelled");
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * The record of the whole generation, or of what there was when it was left early.
   * GenerationError before either.
   */
  get result(): GenerationResult {
    if (!this.request.over) {
      throw new GenerationError("the stream has not ended; read all of it before its result");
    }
    return resultOf(this.request, this.provider);
  }
}

/** Pieces of text as they become certain, never half a character; then `result`. */
export class TextStream implements AsyncIterableIterator<string> {
  constructor(
    /** What it reads: the same with ids and log-probabilities. */
    readonly events: EventStream,
  ) {}

  async next(): Promise<IteratorResult<string, undefined>> {
    for (;;) {
      const step = await this.events.next();
      if (step.done) return { done: true, value: undefined };
      if (step.value.text) return { done: false, value: step.value.text };
    }
  }

  /** See EventStream. */
  async return(): Promise<IteratorResult<string, undefined>> {
    await this.events.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** See EventStream. */
  get result(): GenerationResult {
    return this.events.result;
  }
}

/** The tokens of `events`, one by one, those of held back text too. */
export async function* tokensOf(events: EventStream): AsyncGenerator<Token, void, undefined> {
  for await (const { ids, logprobs } of events) {
    const [id] = ids;
    const [logprob] = logprobs;
    if (id !== undefined) yield logprob === undefined ? { id } : { id, logprob };
  }
}
