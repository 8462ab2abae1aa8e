/** `Generator`, the public face: a loaded package, and all that it can be asked. */

import { settingsOf, type GenerationConfig, type GenerationDefaults } from "./config.js";
import { decode } from "./decode.js";
import { GenerationError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { fetchManifest, fetchPackage, fileUrl, type DownloadOptions } from "./package.js";
import { promptIds, type Prompt } from "./prompt.js";
import { TextRequest } from "./request.js";
import type { GenerationResult, NextToken, Token } from "./result.js";
import { providersFor, type Provider, type RuntimeOptions } from "./runtime.js";
import { largest, probabilities, requireNumbers } from "./sampling.js";
import { selfTestProblems } from "./selftest.js";
import { Session } from "./session.js";
import { EventStream, TextStream } from "./stream.js";
import { Tokenizer, type EncodeOptions } from "./tokenizer.js";
import { shown } from "./untrusted.js";
import { fitted } from "./window.js";

export interface LoadOptions extends DownloadOptions, RuntimeOptions {
  /** "wasm" (default of "auto" without a GPU), "webgpu", or "auto": the best that fits. */
  provider?: Provider | "auto";
}

export interface RunOptions {
  /** Aborting it ends a generation with what there is and finishReason "cancelled". */
  signal?: AbortSignal;
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
    return new TextStream(this.events(prompt, config, options));
  }

  /** Like `stream`, with the ids and log-probabilities behind the text. */
  events(prompt: Prompt, config: GenerationConfig = {}, options: RunOptions = {}): EventStream {
    const request = this.#request(prompt, config, options);
    const steps = decode(request, (capacity) => this.session.start(capacity));
    return new EventStream(steps, request, this.provider);
  }

  /** Like `stream`, token by token, those of held back text too. */
  tokens(
    prompt: Prompt,
    config: GenerationConfig = {},
    options: RunOptions = {},
  ): AsyncGenerator<Token, void, undefined> {
    return tokensOf(this.events(prompt, config, options));
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
      return await sequence.prefill(ids);
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
    return this.#ids(prompt, options, false);
  }

  /** A token as text for people; without a tokenizer, its number. */
  tokenLabel(id: number): string {
    return this.tokenizer?.label(id) ?? String(id);
  }

  /** Free the graph's memory; the generator cannot be used afterwards. */
  async dispose(): Promise<void> {
    await this.session.dispose();
  }

  /** What to write, all of it checked before anything is computed. */
  #request(prompt: Prompt, config: GenerationConfig, { signal }: RunOptions): TextRequest {
    const settings = settingsOf(config, this.generationConfig);
    const { contextLength, vocabSize } = this.manifest.architecture;
    const slides = settings.contextOverflow === "slide";
    const ids = this.#ids(prompt, {}, slides);
    const read = slides ? fitted(ids, contextLength, settings.keep) : ids;
    const model = {
      vocabSize,
      eosIds: this.manifest.eosTokenIds,
      detokenizer: this.tokenizer?.stream(),
    };
    return new TextRequest(read, settings, model, signal);
  }

  #ids(prompt: Prompt, options: EncodeOptions, anyLength: boolean): number[] {
    if (typeof prompt === "string" && !this.tokenizer) {
      throw new GenerationError("the package has no tokenizer; give the prompt as token ids");
    }
    const ids = typeof prompt === "string" ? this.tokenizer!.encode(prompt, options) : prompt;
    return promptIds(ids, this.manifest.architecture, anyLength);
  }
}

async function* tokensOf(events: EventStream): AsyncGenerator<Token, void, undefined> {
  for await (const { ids, logprobs } of events) {
    const [id] = ids;
    const [logprob] = logprobs;
    if (id !== undefined) yield logprob === undefined ? { id } : { id, logprob };
  }
}
