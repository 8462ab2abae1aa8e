/**
 * What the playground asks of a model, answered by a package in this browser. The shapes are those
 * of Backend in server/gpt2_edge_server/playground/backend.js; a text that is longer than the context
 * is cut at its beginning, and special tokens in it are text.
 */

import { Generator, type PlacedToken, type PromptCache } from "../src/index.js";
import { settingsOf } from "../src/config.js";
import { makeChooser } from "../src/sampling.js";
import { printable } from "../src/untrusted.js";

export interface Drawing {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number | null;
}

const MOST_WEIGHTS = 4_000_000; // of attention, as the server has it

/** A text as tokens, of which the first may be left out. */
interface Fitted {
  readonly tokens: readonly PlacedToken[];
  readonly ids: readonly number[];
  readonly droppedChars: number;
}

/** A loaded package; calls run one after another. */
export class PlaygroundModel {
  readonly #cache: PromptCache;
  #last: Promise<unknown> = Promise.resolve();

  constructor(readonly generator: Generator) {
    this.#cache = generator.newCache();
  }

  info() {
    const { manifest, groups, provider } = this.generator;
    const { architecture, files, name, recipe, quality } = manifest;
    const records = Array.from(files, ([file, record]) => ({ name: file, ...record }));
    return {
      name,
      recipe,
      contextLength: architecture.contextLength,
      vocabSize: architecture.vocabSize,
      layers: architecture.numLayers,
      heads: architecture.numHeads,
      width: architecture.hiddenSize,
      parameters: groups.reduce((sum, { parameters }) => sum + parameters, 0),
      provider,
      attention: manifest.graph.cacheDtype !== "float16",
      totalBytes: records.reduce((sum, { bytes }) => sum + bytes, 0),
      files: records,
      groups,
      quality: qualityOf(quality),
    };
  }

  async tokenize(text: string) {
    const { contextLength } = this.generator.manifest.architecture;
    const tokens = this.#tokens(text);
    return { count: tokens.length, droppedChars: last(tokens, contextLength).droppedChars };
  }

  /** The options for the next token, and the one that the seed draws. */
  next(text: string, options: Drawing & { k: number }, signal: AbortSignal) {
    return this.#turn(signal, async () => {
      const { k, seed, ...settings } = options;
      const { ids, droppedChars } = this.#begun(text);
      const cache = this.#cache;
      const found = await this.generator.nextTokens(ids, { k, ...settings, cache, signal });
      let draw = null;
      if (seed !== null) {
        // Nothing is computed: it is the prompt of the call before.
        const logits = await cache.logitsAfter(ids, signal);
        const asked = settingsOf({ doSample: true, ...settings });
        const id = makeChooser(asked, seed)(logits, 0);
        draw = { id, text: this.generator.tokenLabel(id) };
      }
      return { options: found, draw, droppedChars };
    });
  }

  /** `n` texts behind `text`, which take each step together. */
  write(
    text: string,
    options: Drawing & { n: number; maxTokens: number },
    signal: AbortSignal,
    onText: (index: number, piece: string) => void,
  ) {
    return this.#turn(signal, async () => {
      const { n, maxTokens, seed, ...settings } = options;
      const config = {
        doSample: true,
        maxNewTokens: maxTokens,
        contextOverflow: "slide",
        ...settings,
        ...(seed !== null && { seed }),
      } as const;
      const { ids } = this.#begun(text);
      const told = { signal, cache: this.#cache, onText };
      const written = await this.generator.generateTexts(ids, n, config, told);
      signal.throwIfAborted();
      return written.map(({ text: whole, finishReason }) => ({ text: whole ?? "", finishReason }));
    });
  }

  score(text: string, { alternatives }: { alternatives: number }, signal: AbortSignal) {
    return this.#turn(signal, async () => {
      const { contextLength } = this.generator.manifest.architecture;
      const { tokens, ids, droppedChars } = last(this.#tokens(text), contextLength);
      if (ids.length === 0) return { tokens: [], perplexity: null, droppedChars };
      const scores = await this.generator.scoreTokens(ids, { alternatives, signal });
      const predicted = scores.slice(1).map(({ logprob }) => logprob!);
      const mean = predicted.reduce((sum, logprob) => sum + logprob, 0) / predicted.length;
      return {
        tokens: scores.map((score, at) => ({ ...score, ...tokens[at]! })),
        perplexity: predicted.length > 0 ? Math.exp(-mean) : null,
        droppedChars,
      };
    });
  }

  attention(text: string, signal: AbortSignal) {
    return this.#turn(signal, async () => {
      const {
        contextLength,
        numLayers: layers,
        numHeads: heads,
      } = this.generator.manifest.architecture;
      const most = Math.floor(Math.sqrt(MOST_WEIGHTS / (layers * heads)));
      const room = Math.max(1, Math.min(contextLength, most));
      const { tokens, ids, droppedChars } = last(this.#tokens(text), room);
      if (ids.length === 0) {
        return { tokens: [], layers, heads, weights: new Float32Array(), droppedChars };
      }
      const { weights } = await this.generator.attention(ids, { signal });
      return { tokens, layers, heads, weights, droppedChars };
    });
  }

  selfTest(signal: AbortSignal) {
    return this.#turn(signal, async () => {
      const problems = await this.generator.selfTest({ signal });
      return { passed: problems.length === 0, problems };
    });
  }

  /** Free its memory, once the calls before have ended. */
  async dispose(): Promise<void> {
    await this.#last;
    this.#cache.dispose();
    await this.generator.dispose();
  }

  /** `work`, after the calls before it; not at all once `signal` is aborted. */
  #turn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => {
      signal.throwIfAborted();
      return work();
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #tokens(text: string): PlacedToken[] {
    return text === "" ? [] : this.generator.tokenize(text, { parseSpecial: false });
  }

  /** What fits of `text`; an empty one becomes the token that begins texts. */
  #begun(text: string): Fitted {
    const { architecture, bosTokenId, eosTokenIds } = this.generator.manifest;
    const found = last(this.#tokens(text), architecture.contextLength);
    if (found.ids.length > 0) return found;
    const first = bosTokenId ?? eosTokenIds[0];
    if (first === undefined) throw new Error("Write a word first: this model begins with nothing.");
    return { ...found, ids: [first] };
  }
}

/** What the manifest says was measured, as far as it is of the kinds that docs/PACKAGE.md names. */
function qualityOf(raw: Readonly<Record<string, unknown>> | null) {
  const { text, tokens, perplexity } = raw ?? {};
  if (typeof text !== "string" || !isNumber(tokens) || !isNumber(perplexity)) return null;
  const more = ["reference_perplexity", "mean_kl", "p99_kl", "top1"].filter((name) =>
    isNumber(raw![name]),
  );
  const figures = Object.fromEntries(more.map((name) => [name, raw![name]]));
  return { text: printable(text), tokens, perplexity, ...figures };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** The last `count` tokens, where there are more; whole characters of the text, as the server has it. */
function last(tokens: readonly PlacedToken[], count: number): Fitted {
  let cut = Math.max(0, tokens.length - count);
  if (cut > 0) {
    const end = tokens[cut - 1]!.end!;
    const whole = tokens.findIndex(({ start }, at) => at >= cut && start! >= end);
    if (whole >= 0) cut = whole;
  }
  const kept = tokens.slice(cut);
  const droppedChars = cut > 0 ? kept[0]!.start! : 0;
  return { tokens: kept, ids: kept.map(({ id }) => id), droppedChars };
}
