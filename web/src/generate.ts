/** `Generator`, the public face: a loaded package, and all that it can be asked. */

import { Attention } from "./attention.js";
import { settingsOf, type GenerationConfig, type GenerationDefaults } from "./config.js";
import { decode, freshIn } from "./decode.js";
import { decodeTogether } from "./decode-together.js";
import { GenerationError } from "./errors.js";
import type { WeightGroup } from "./groups.js";
import { MANIFEST_FILE, type Manifest } from "./manifest.js";
import { unlessAborted } from "./next-task.js";
import { nextChooser } from "./next-tokens.js";
import { OnDemand } from "./on-demand.js";
import type {
  CallOptions,
  LoadOptions,
  NextOptions,
  RunOptions,
  ScoreOptions,
  TextsOptions,
} from "./options.js";
import { fetchManifest, fetchPackage, fileUrl } from "./package.js";
import { PromptCache } from "./prompt-cache.js";
import { promptIds, type Prompt } from "./prompt.js";
import { resultOf } from "./record.js";
import { seeds, TextRequest } from "./request.js";
import type {
  AttentionWeights,
  GenerationResult,
  NextToken,
  PlacedToken,
  ScoredToken,
  Token,
} from "./result.js";
import { providersFor, runtimeFile, type Provider } from "./runtime.js";
import { scored } from "./score.js";
import { selfTestProblems } from "./selftest.js";
import { Session } from "./session.js";
import { EventStream, TextStream, tokensOf } from "./stream.js";
import { Tokenizer, type EncodeOptions } from "./tokenizer.js";
import { shown } from "./untrusted.js";
import { fitted } from "./window.js";

const MOST_TEXTS = 64;

/** A loaded package. Several generations may run at once: each has its own cache. */
export class Generator {
  readonly #attention: OnDemand<Attention>;

  private constructor(
    readonly manifest: Manifest,
    readonly session: Session,
    readonly tokenizer: Tokenizer | null,
    /**
     * Settings of a generation that leaves them out: those of the package's
     * generation_config.json, then those of this runtime.
     */
    readonly generationConfig: GenerationDefaults,
    /** The weights by part of the model; empty where the graph names them in another way. */
    readonly groups: readonly WeightGroup[],
    loadAttention: () => Promise<Attention>,
  ) {
    this.#attention = new OnDemand(loadAttention);
  }

  /**
   * Load the package in the folder `url` (relative to the page). PackageError if it is damaged or
   * not there, ProviderError if the provider cannot run it.
   */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<Generator> {
    const { manifest, content } = await fetchManifest(url, options);
    const choice = await providersFor(options.provider ?? "auto", manifest);
    const runtime = runtimeFile(choice.providers[0]!, options);
    const source = await fetchPackage(url, manifest, options, runtime);
    const tokenizer =
      source.tokenizer && new Tokenizer(source.tokenizer, fileUrl(source.url, manifest.tokenizer!));
    const session = await Session.load(source, choice, options);
    const others = Object.values(options.wasmFiles ?? {}).map(({ sha256 }) => sha256);
    await options.keep?.loaded(fileUrl(source.url, MANIFEST_FILE), content, others);
    const { onProgress: _, signal: __, ...quiet } = options;
    // ONNX Runtime has its own copy of the package, and the one in memory is given up.
    const loadAttention = async (): Promise<Attention> => {
      const processor = session.provider === "cpu" ? "cpu" : "wasm";
      const again = await fetchPackage(url, manifest, quiet, runtimeFile(processor, options));
      return Attention.load(again, processor, options);
    };
    const { defaults, groups } = source;
    return new Generator(manifest, session, tokenizer, defaults, groups, loadAttention);
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

  /**
   * `count` texts behind `prompt`, drawn with seeds of their own (Python's num_return_sequences).
   * The prompt is read once, and they take each step together where the package and the device can,
   * which costs little more than one text. `onText` is told what becomes certain of which text.
   * Errors as of `generate`.
   */
  async generateTexts(
    prompt: Prompt,
    count: number,
    config: GenerationConfig = {},
    options: TextsOptions = {},
  ): Promise<GenerationResult[]> {
    if (!(Number.isInteger(count) && count >= 1 && count <= MOST_TEXTS)) {
      throw new GenerationError(
        `count is ${shown(count)}; it must be a whole number from 1 to ${MOST_TEXTS}`,
      );
    }
    const { cache, onText } = options;
    const first = this.#request(prompt, config, options);
    const requests = seeds(first.seed, count).map((seed) =>
      seed === null
        ? this.#request(first.prompt, config, options)
        : this.#request(first.prompt, { ...config, seed }, options),
    );
    const begin = cache ? cache.of(this.session).begin : freshIn(this.session);
    for await (const { index, event } of decodeTogether(requests, begin)) {
      if (event.text) onText?.(index, event.text);
    }
    return requests.map((request) => resultOf(request, this.provider));
  }

  /** Like `generate`, piece by piece. */
  stream(prompt: Prompt, config: GenerationConfig = {}, options: RunOptions = {}): TextStream {
    return new TextStream(this.events(prompt, config, options));
  }

  /** Like `stream`, with the ids and log-probabilities behind the text. */
  events(prompt: Prompt, config: GenerationConfig = {}, options: RunOptions = {}): EventStream {
    const request = this.#request(prompt, config, options);
    const { cache } = options;
    const steps = decode(request, cache ? cache.of(this.session).begin : freshIn(this.session));
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

  /** An empty cache, for `nextTokens` and generations one after another. */
  newCache(): PromptCache {
    return new PromptCache(this.session);
  }

  /**
   * The `k` most likely next tokens after `prompt`, most likely first: with the model's probability,
   * and with the one that each is drawn with under the settings. GenerationError and
   * ContextOverflowError as of `encode`, and for a setting out of its range.
   */
  async nextTokens(prompt: Prompt, asked: number | NextOptions = {}): Promise<NextToken[]> {
    const { k = 10, cache, signal, ...options } = typeof asked === "number" ? { k: asked } : asked;
    const { addSpecialTokens: _, parseSpecial: __, ...settings } = options as NextOptions;
    const choose = nextChooser(k, settings);
    const ids = this.encode(prompt, options);
    const logits = cache
      ? await cache.of(this.session).logitsAfter(ids, signal)
      : await this.logits(ids, { signal });
    return choose(logits).map((token) => ({ ...token, text: this.tokenLabel(token.id) }));
  }

  /**
   * How likely each token of `prompt` is, given all before it: Python's score_tokens, with the
   * place of each in the text. There may be one token more than the context holds. Errors as of
   * `encode`.
   */
  async scoreTokens(prompt: Prompt, options: ScoreOptions = {}): Promise<ScoredToken[]> {
    const { alternatives = 0, signal } = options;
    if (!(Number.isInteger(alternatives) && alternatives >= 0)) {
      throw new GenerationError(
        `alternatives is ${shown(alternatives)}; it must be a whole number, 0 or more`,
      );
    }
    const ids = this.#ids(prompt, options, 1);
    const predicted = await scored(this.session, ids, alternatives, signal);
    return this.#placed(prompt, ids).map((token, at) => {
      const { logprob, rank, alternatives: others } = predicted[at]!;
      const labelled = others.map((one) => ({ ...one, text: this.tokenLabel(one.id) }));
      return { ...token, logprob, rank, alternatives: labelled };
    });
  }

  /**
   * With which weights each token of `prompt` attends to itself and the ones before it, in every
   * layer and head. The first call loads the package's graph a second time. Errors as of `encode`;
   * GenerationError where the graph cannot give them.
   */
  async attention(prompt: Prompt, options: CallOptions = {}): Promise<AttentionWeights> {
    const { signal } = options;
    const ids = this.encode(prompt, options);
    signal?.throwIfAborted();
    const attention = await unlessAborted(this.#attention.load(), signal);
    const weights = await attention.weights(ids, signal);
    const { numLayers: layers, numHeads: heads } = this.manifest.architecture;
    return { tokens: this.#placed(prompt, ids), layers, heads, weights };
  }

  /** Logits [vocab] after the last token of `prompt`. */
  async logits(prompt: Prompt, options: CallOptions = {}): Promise<Float32Array> {
    const ids = this.encode(prompt, options);
    const sequence = await this.session.start(ids.length);
    try {
      return await sequence.prefill(ids, options.signal);
    } finally {
      sequence.dispose();
    }
  }

  /** Run the manifest's self-test; what differs, a line each (empty: passed). */
  selfTest({ signal }: { signal?: AbortSignal } = {}): Promise<string[]> {
    return selfTestProblems(this, signal);
  }

  /**
   * Token ids of `prompt`, checked to be in the vocabulary and to fit the context; `options` are
   * for text.
   */
  encode(prompt: Prompt, options: EncodeOptions = {}): number[] {
    return this.#ids(prompt, options);
  }

  /**
   * The tokens of `text` with their places in it, however long it is; `encode` refuses more than
   * the context holds.
   */
  tokenize(text: string, options: EncodeOptions = {}): PlacedToken[] {
    return this.#placed(text, this.#ids(text, options, Infinity));
  }

  /** A token as text for people; without a tokenizer, its number. */
  tokenLabel(id: number): string {
    return this.tokenizer?.label(id) ?? String(id);
  }

  /** Free the graph's memory; the generator cannot be used afterwards. */
  async dispose(): Promise<void> {
    await this.#attention.dispose();
    await this.session.dispose();
  }

  /** What to write, all of it checked before anything is computed. */
  #request(prompt: Prompt, config: GenerationConfig, { signal }: RunOptions): TextRequest {
    const settings = settingsOf(config, this.generationConfig);
    const { contextLength, vocabSize } = this.manifest.architecture;
    const slides = settings.contextOverflow === "slide";
    const ids = this.#ids(prompt, {}, slides ? Infinity : 0);
    const read = slides ? fitted(ids, contextLength, settings.keep) : ids;
    const model = {
      vocabSize,
      eosIds: this.manifest.eosTokenIds,
      detokenizer: this.tokenizer?.stream(),
    };
    return new TextRequest(read, settings, model, signal);
  }

  /** `beyond`: how many tokens more than the context holds there may be. */
  #ids(prompt: Prompt, options: EncodeOptions, beyond = 0): number[] {
    if (typeof prompt === "string" && !this.tokenizer) {
      throw new GenerationError("the package has no tokenizer; give the prompt as token ids");
    }
    const ids = typeof prompt === "string" ? this.tokenizer!.encode(prompt, options) : prompt;
    return promptIds(ids, this.manifest.architecture, beyond);
  }

  /** `ids` as the tokens of `prompt`; without text they have no place. */
  #placed(prompt: Prompt, ids: readonly number[]): PlacedToken[] {
    const ranges = typeof prompt === "string" ? this.tokenizer!.ranges(prompt, ids) : [];
    return ids.map((id, at) => {
      const [start, end] = ranges[at] ?? [null, null];
      return { id, text: this.tokenLabel(id), start, end };
    });
  }
}
