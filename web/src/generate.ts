/**
 * From a prompt to text: `Generator`, and the loop behind it.
 *
 * Three layers, as in Python: `tokens` yields ids, `stream` turns them into text as it becomes
 * certain, `generate` returns the whole result.
 */

import {
  settingsOf,
  type GenerationConfig,
  type GenerationDefaults,
  type Settings,
} from "./config.js";
import { GenerationError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { fetchManifest, fetchPackage, fileUrl, type DownloadOptions } from "./package.js";
import { promptIds, type Prompt } from "./prompt.js";
import { GenerationState, type GenerationResult, type NextToken, type Token } from "./result.js";
import { providersFor, type Provider, type RuntimeOptions } from "./runtime.js";
import { largest, logProbability, makeSampler, probabilities, requireNumbers } from "./sampling.js";
import { selfTestProblems } from "./selftest.js";
import { Session } from "./session.js";
import { StopStrings } from "./stopping.js";
import { Tokenizer, type EncodeOptions } from "./tokenizer.js";
import { shown } from "./untrusted.js";

export interface LoadOptions extends DownloadOptions, RuntimeOptions {
  /** "wasm" (default of "auto" without a GPU), "webgpu", or "auto": the best that fits. */
  provider?: Provider | "auto";
}

export interface RunOptions {
  /** Aborting it ends a generation with what there is and finishReason "cancelled". */
  signal?: AbortSignal;
}

/** Pieces of text as they become certain, never half a character; then `result`. */
export class TextStream implements AsyncIterableIterator<string> {
  #result: GenerationResult | undefined;

  constructor(private readonly pieces: AsyncGenerator<string, GenerationResult, undefined>) {}

  async next(): Promise<IteratorResult<string, undefined>> {
    const step = await this.pieces.next();
    if (!step.done) return { done: false, value: step.value };
    this.#result ??= step.value;
    return { done: true, value: undefined };
  }

  /** Called by `for await` on leaving it early; frees the cache. */
  async return(): Promise<IteratorResult<string, undefined>> {
    await this.pieces.return(undefined as never);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The record of the whole generation; GenerationError before the stream has ended. */
  get result(): GenerationResult {
    if (!this.#result) {
      throw new GenerationError("the stream has not ended; read all of it before its result");
    }
    return this.#result;
  }
}

/** A loaded package. Several generations may run at once: each has its own cache. */
export class Generator {
  private constructor(
    readonly manifest: Manifest,
    readonly session: Session,
    readonly tokenizer: Tokenizer | null,
    /**
     * Settings of a generation that leaves them out: those of the package's
     * generation_config.json, then those of this runtime.
     */
    readonly generationConfig: GenerationDefaults,
  ) {}

  /**
   * Load the package in the folder `url` (relative to the page). PackageError if it is damaged or
   * not there, ProviderError if the provider cannot run it.
   */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<Generator> {
    const manifest = await fetchManifest(url, options);
    const choice = await providersFor(options.provider ?? "auto", manifest);
    const source = await fetchPackage(url, manifest, options);
    const tokenizer =
      source.tokenizer && new Tokenizer(source.tokenizer, fileUrl(source.url, manifest.tokenizer!));
    const session = await Session.load(source, choice, options);
    return new Generator(manifest, session, tokenizer, source.defaults);
  }

  /** The execution provider that computes it. */
  get provider(): Provider {
    return this.session.provider;
  }

  /** Why "auto" did not take WebGPU; null where it did, or where a provider was named. */
  get fallbackReason(): string | null {
    return this.session.fallbackReason;
  }

  /**
   * Continue `prompt` and return the whole result. GenerationError and ContextOverflowError for a
   * prompt or a setting that cannot be taken.
   */
  async generate(
    prompt: Prompt,
    config: GenerationConfig = {},
    options: RunOptions = {},
  ): Promise<GenerationResult> {
    const stream = this.stream(prompt, config, options);
    for await (const _ of stream);
    return stream.result;
  }

  /** Like `generate`, piece by piece. */
  stream(prompt: Prompt, config: GenerationConfig = {}, options: RunOptions = {}): TextStream {
    const settings = settingsOf(config, this.generationConfig);
    const ids = this.encode(prompt);
    if (settings.stopStrings.length > 0 && !this.tokenizer) {
      throw new GenerationError("stopStrings need a tokenizer; this package has none");
    }
    return new TextStream(this.#text(ids, settings, options.signal));
  }

  /** Like `generate`, token by token, without text or stop strings. */
  tokens(
    prompt: Prompt,
    config: GenerationConfig = {},
    options: RunOptions = {},
  ): AsyncGenerator<Token, void, undefined> {
    const settings = settingsOf(config, this.generationConfig);
    const ids = this.encode(prompt);
    return this.#tokens(ids, settings, this.#state(ids, settings), options.signal);
  }

  /** The `k` most likely next tokens after `prompt`, most likely first. */
  async nextTokens(prompt: Prompt, k = 10): Promise<NextToken[]> {
    if (!(Number.isInteger(k) && k >= 1)) {
      throw new GenerationError(`k is ${shown(k)}; it must be a whole number of at least 1`);
    }
    const logits = await this.logits(prompt);
    requireNumbers(logits);
    const likely = probabilities(logits);
    return largest(logits, k).map((id) => ({
      id,
      text: this.tokenLabel(id),
      probability: likely[id]!,
    }));
  }

  /** Logits [vocab] after the last token of `prompt`. */
  async logits(prompt: Prompt): Promise<Float32Array> {
    const ids = this.encode(prompt);
    const sequence = await this.session.start(ids.length);
    try {
      return (await sequence.prefill(ids))!; // nothing stops it
    } finally {
      sequence.dispose();
    }
  }

  /** Run the manifest's self-test; what differs, a line each (empty: passed). */
  selfTest(): Promise<string[]> {
    return selfTestProblems(this);
  }

  /**
   * Token ids of `prompt`, checked to be in the vocabulary and to fit the context; `options` are
   * for text.
   */
  encode(prompt: Prompt, options: EncodeOptions = {}): number[] {
    if (typeof prompt === "string" && !this.tokenizer) {
      throw new GenerationError("the package has no tokenizer; give the prompt as token ids");
    }
    const { architecture } = this.manifest;
    return typeof prompt === "string"
      ? promptIds(this.tokenizer!.encode(prompt, options), architecture)
      : promptIds(prompt, architecture);
  }

  /** A token as text for people; without a tokenizer, its number. */
  tokenLabel(id: number): string {
    return this.tokenizer?.label(id) ?? String(id);
  }

  /** Free the graph's memory; the generator cannot be used afterwards. */
  async dispose(): Promise<void> {
    await this.session.dispose();
  }

  #state(ids: readonly number[], settings: Settings): GenerationState {
    const seed = settings.samples ? (settings.seed ?? freshSeed()) : null;
    return new GenerationState(ids.length, seed, this.provider);
  }

  async *#text(
    ids: readonly number[],
    settings: Settings,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<string, GenerationResult, undefined> {
    const state = this.#state(ids, settings);
    const stops = new StopStrings(settings.stopStrings);
    const detokenizer = this.tokenizer?.stream();
    let text = "";
    for await (const token of this.#tokens(ids, settings, state, signal)) {
      if (!detokenizer) continue;
      const piece = stops.push(detokenizer.push(token.id));
      text += piece;
      if (piece) yield piece;
      if (stops.found) break;
    }
    if (detokenizer && !stops.found) {
      let rest = stops.push(detokenizer.finish());
      rest += stops.finish();
      text += rest;
      if (rest) yield rest;
    }
    if (stops.found) state.finishReason = "stop";
    return state.result(detokenizer ? text : null, settings.logprobs);
  }

  /** The decode loop. */
  async *#tokens(
    ids: readonly number[],
    settings: Settings,
    state: GenerationState,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Token, void, undefined> {
    const choose = makeSampler(settings, state.seed ?? 0);
    const eosIds = settings.ignoreEos ? [] : this.manifest.eosTokenIds;
    const { contextLength } = this.manifest.architecture;
    const capacity = ids.length + settings.maxNewTokens - 1;
    state.start();
    let sequence = await this.session.start(capacity);
    try {
      let fed = ids;
      for (;;) {
        const logits = await sequence.prefill(fed, signal);
        if (!logits) {
          state.finishReason = "cancelled";
          return;
        }
        requireNumbers(logits);
        const id = choose(logits);
        const token = settings.logprobs ? { id, logprob: logProbability(logits, id) } : { id };
        state.push(token);
        const ended = eosIds.includes(id);
        if (ended) state.finishReason = "eos";
        yield token;
        if (ended || state.tokens.length === settings.maxNewTokens) return;
        fed = [id];
        if (sequence.length === contextLength) {
          if (settings.contextOverflow === "stop") return;
          // The window slides: its newer half becomes the prompt again.
          fed = [...sequence.ids.slice((sequence.length + 1) >> 1), id];
          sequence.dispose();
          sequence = await this.session.start(capacity);
        }
      }
    } finally {
      sequence.dispose();
    }
  }
}

/** 53 random bits: so many stay exact in a number, also in JSON. */
function freshSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}
