/** A request: one prompt, what is asked of it, and the text so far. */

import type { Settings } from "./config.js";
import { GenerationError } from "./errors.js";
import { checkTokens, processorsOf, type Processor } from "./processors.js";
import type { FinishReason, TextEvent } from "./result.js";
import {
  largest,
  logProbabilities,
  makeChooser,
  requireNumbers,
  type Chooser,
} from "./sampling.js";
import type { DetokenizerStream } from "./detokenizer.js";
import { SplitMix64 } from "./splitmix64.js";
import { TextWriter } from "./writer.js";

/** What a package says beside the settings. */
export interface Model {
  readonly vocabSize: number;
  readonly eosIds: readonly number[];
  /** A new stream from ids to text; undefined without a tokenizer. */
  readonly detokenizer: DetokenizerStream | undefined;
}

/** One text, token by token; `accept` and `end` are the only places that end it. */
export class TextRequest {
  finishReason: FinishReason | null = null;
  readonly seed: number | bigint | null;
  /** All that was written. */
  readonly events: TextEvent[] = [];
  /** Seconds of the model until the first token, and from there on. */
  promptSeconds = 0;
  decodeSeconds = 0;
  readonly #ids: number[]; // prompt and text
  readonly #eosIds: readonly number[];
  readonly #processors: readonly Processor[];
  readonly #choose: Chooser;
  readonly #writer: TextWriter | undefined;
  readonly #deadline: number;

  /** GenerationError for settings that `model` cannot meet. */
  constructor(
    readonly prompt: readonly number[],
    readonly settings: Settings,
    model: Model,
    private readonly signal?: AbortSignal,
  ) {
    const { stopStrings, includeStopStr, maxTime } = settings;
    if (stopStrings.length > 0 && !model.detokenizer) {
      throw new GenerationError("stopStrings need a tokenizer; this package has none");
    }
    checkTokens(settings, model.vocabSize);
    this.seed = settings.samples ? (settings.seed ?? freshSeed()) : null;
    this.#ids = [...prompt];
    this.#eosIds = settings.ignoreEos ? [] : (settings.eosTokenId ?? model.eosIds);
    this.#processors = processorsOf(settings, this.#eosIds, prompt.length);
    this.#choose = makeChooser(settings, this.seed ?? 0);
    this.#writer =
      model.detokenizer && new TextWriter(model.detokenizer, stopStrings, includeStopStr);
    this.#deadline = performance.now() + (maxTime ?? Infinity) * 1000;
  }

  /** Whether it has ended. */
  get over(): boolean {
    return this.finishReason !== null;
  }

  /** The tokens of the text. */
  get newIds(): number[] {
    return this.#ids.slice(this.prompt.length);
  }

  /** Whether its tokens are turned into text. */
  get writesText(): boolean {
    return this.#writer !== undefined;
  }

  /** Why it should end before the next step, if it should. */
  interruption(): FinishReason | null {
    if (this.signal?.aborted) return "cancelled";
    return performance.now() >= this.#deadline ? "time" : null;
  }

  /** Take the next token from `logits` [vocab]; full: the cache has no room for another one. */
  accept(logits: Float32Array, full: boolean): number {
    requireNumbers(logits);
    const number = this.#ids.length - this.prompt.length;
    const id = this.#choose(this.#processed(logits), number);
    this.#ids.push(id);
    let text = this.#writer?.push(id) ?? "";
    this.finishReason = this.#reason(id, number + 1, full);
    if (this.over) text += this.#rest();
    const { logprobs, topLogprobs } = this.settings;
    const best = topLogprobs > 0 ? largest(logits, topLogprobs) : [];
    this.events.push({
      text,
      ids: [id],
      logprobs: logprobs ? logProbabilities(logits, [id]) : [],
      topLogprobs: topLogprobs > 0 ? [alternatives(logits, best)] : [],
    });
    return id;
  }

  /** End it here, with what there is, unless it has ended; whether there was more text. */
  end(reason: FinishReason): boolean {
    if (this.over) return false;
    this.finishReason = reason;
    const text = this.#rest();
    if (text) this.events.push({ text, ids: [], logprobs: [], topLogprobs: [] });
    return text !== "";
  }

  /** What the processors make of `logits`, which stay as they are. */
  #processed(logits: Float32Array): Float32Array {
    if (this.#processors.length === 0) return logits;
    const changed = logits.slice();
    for (const process of this.#processors) process(this.#ids, changed);
    if (changed.every((logit) => logit === -Infinity)) {
      throw new GenerationError(
        "every token is forbidden here: the settings of this generation rule each other out",
      );
    }
    requireNumbers(changed);
    return changed;
  }

  /** Why the text ends behind `id`, the last of `written` tokens; null if it goes on. */
  #reason(id: number, written: number, full: boolean): FinishReason | null {
    if (this.#writer?.stopped) return "stop";
    if (this.#eosIds.includes(id)) return "eos";
    const { maxNewTokens, contextOverflow } = this.settings;
    return written === maxNewTokens || (full && contextOverflow === "stop") ? "length" : null;
  }

  /** What the writer still holds back of a text that ended; it may be a stop string. */
  #rest(): string {
    const rest = this.#writer?.finish() ?? "";
    if (this.#writer?.stopped) this.finishReason = "stop";
    return rest;
  }
}

function alternatives(logits: Float32Array, ids: readonly number[]) {
  const logprobs = logProbabilities(logits, ids);
  return ids.map((id, at) => ({ id, logprob: logprobs[at]! }));
}

/** A seed for each of `count` texts, as Python's RequestMaker.seeds has them; null: greedy. */
export function seeds(first: number | bigint | null, count: number): (number | bigint | null)[] {
  if (first === null) return Array<null>(count).fill(null);
  const others = new SplitMix64(first);
  return Array.from({ length: count }, (_, at) =>
    at === 0 ? first : Number(others.next() >> 11n),
  );
}

/** 53 random bits: so many stay exact in a number, also in JSON. */
function freshSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}
