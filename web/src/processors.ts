/**
 * Processors: what changes the logits of the next token, given the tokens so far. Pure in both.
 *
 * Names and meanings are transformers' (its generation/logits_process.py, 4.57), in its order;
 * presencePenalty and frequencyPenalty are OpenAI's. spec/processors.json has examples.
 */

import type { Settings } from "./config.js";
import { GenerationError } from "./errors.js";
import type { BiasList } from "./settings.js";

/** Changes `logits` [vocab] in place; `ids` are the tokens of prompt and text so far. */
export type Processor = (ids: readonly number[], logits: Float32Array) => void;

/**
 * Add a bias to the last token of each sequence where the text ends in those before it. A sequence
 * of one token always gets its bias: that is OpenAI's logit_bias. Of equal sequences the last counts.
 */
export function sequenceBias(biases: BiasList): Processor {
  const unique = new Map(biases.map(([tokens, bias]) => [tokens.join(), { tokens, bias }]));
  const all = Array.from(unique.values(), ({ tokens, bias }) => ({
    before: tokens.slice(0, -1),
    last: tokens.at(-1)!,
    bias: Math.fround(bias),
  }));
  return (ids, logits) => {
    for (const { before, last, bias } of all) {
      if (before.length === 0 || (before.length < ids.length && endsWith(ids, before))) {
        logits[last]! += bias;
      }
    }
  };
}

/** Never complete one of these sequences of tokens. */
export function badWords(words: readonly (readonly number[])[]): Processor {
  return sequenceBias(words.map((word) => [word, -Infinity]));
}

/**
 * Divide logits of tokens that are in the text or prompt; multiply where they are negative.
 * Keskar et al. 2019 (CTRL), section 4.1.
 */
export function repetitionPenalty(penalty: number): Processor {
  const factor = Math.fround(penalty);
  return (ids, logits) => {
    for (const id of new Set(ids)) {
      const logit = logits[id]!;
      logits[id] = logit < 0 ? logit * factor : logit / factor;
    }
  };
}

/**
 * Take `presence` off each token of the new text, and `frequency` for every time it is there.
 * OpenAI's definition: logit - count * frequency - (count > 0) * presence. prompt: how many of the
 * ids are not new.
 */
export function presenceFrequencyPenalty(
  presence: number,
  frequency: number,
  prompt: number,
): Processor {
  const [once, everyTime] = [Math.fround(presence), Math.fround(frequency)];
  return (ids, logits) => {
    const counts = new Map<number, number>();
    for (let at = prompt; at < ids.length; at++) {
      counts.set(ids[at]!, (counts.get(ids[at]!) ?? 0) + 1);
    }
    for (const [id, count] of counts) {
      logits[id]! -= Math.fround(once + Math.fround(everyTime * count));
    }
  };
}

/** Never write a sequence of `size` tokens that is in the text or prompt already. */
export function noRepeatNgram(size: number): Processor {
  return (ids, logits) => {
    const begin = ids.length - (size - 1); // of the n-gram that the next token completes
    for (let start = 0; start < begin; start++) {
      let same = 0;
      while (same < size - 1 && ids[start + same] === ids[begin + same]) same++;
      if (same === size - 1) logits[ids[start + same]!] = -Infinity;
    }
  };
}

/** No end-of-text token before `least` new tokens are written. */
export function minNewTokens(least: number, eosIds: readonly number[], prompt: number): Processor {
  const never = suppressTokens(eosIds);
  return (ids, logits) => {
    if (ids.length - prompt < least) never(ids, logits);
  };
}

/** Never write these tokens. */
export function suppressTokens(tokens: readonly number[]): Processor {
  return (_, logits) => {
    for (const id of tokens) logits[id] = -Infinity;
  };
}

/** Do not begin the new text with these tokens. */
export function beginSuppressTokens(tokens: readonly number[], prompt: number): Processor {
  return minNewTokens(1, tokens, prompt);
}

/**
 * The processors that `settings` ask for, in transformers' order. eosIds: tokens that end the
 * text; prompt: how many tokens are not new.
 */
export function processorsOf(
  settings: Settings,
  eosIds: readonly number[],
  prompt: number,
): Processor[] {
  const { presencePenalty, frequencyPenalty } = settings;
  const found: Processor[] = [];
  for (const biases of [settings.sequenceBias, settings.logitBias]) {
    if (biases.length > 0) found.push(sequenceBias(biases));
  }
  if (settings.repetitionPenalty !== 1) found.push(repetitionPenalty(settings.repetitionPenalty));
  if (presencePenalty !== 0 || frequencyPenalty !== 0) {
    found.push(presenceFrequencyPenalty(presencePenalty, frequencyPenalty, prompt));
  }
  if (settings.noRepeatNgramSize > 0) found.push(noRepeatNgram(settings.noRepeatNgramSize));
  const isEnd = (word: readonly number[]) => word.length === 1 && eosIds.includes(word[0]!);
  const words = settings.badWordsIds.filter((word) => !isEnd(word));
  if (words.length > 0) found.push(badWords(words));
  if (settings.minNewTokens > 0 && eosIds.length > 0) {
    found.push(minNewTokens(settings.minNewTokens, eosIds, prompt));
  }
  if (settings.suppressTokens.length > 0) found.push(suppressTokens(settings.suppressTokens));
  if (settings.beginSuppressTokens.length > 0) {
    found.push(beginSuppressTokens(settings.beginSuppressTokens, prompt));
  }
  return found;
}

/** GenerationError for a setting with a token that a vocabulary of `vocabSize` has not. */
export function checkTokens(settings: Settings, vocabSize: number): void {
  const tokens: Readonly<Record<string, readonly number[]>> = {
    sequenceBias: settings.sequenceBias.flatMap(([ids]) => ids),
    logitBias: settings.logitBias.flatMap(([ids]) => ids),
    badWordsIds: settings.badWordsIds.flat(),
    suppressTokens: settings.suppressTokens,
    beginSuppressTokens: settings.beginSuppressTokens,
    eosTokenId: settings.eosTokenId ?? [],
  };
  for (const [name, ids] of Object.entries(tokens)) {
    const wrong = ids.find((id) => id >= vocabSize);
    if (wrong !== undefined) {
      throw new GenerationError(
        `${name} has token id ${wrong}, which is outside the vocabulary of ${vocabSize}`,
      );
    }
  }
}

function endsWith(ids: readonly number[], end: readonly number[]): boolean {
  return end.every((id, at) => id === ids[ids.length - end.length + at]);
}
