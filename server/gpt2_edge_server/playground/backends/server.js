/**
 * The model behind `gpt2-edge serve`, over HTTP (docs/SERVER.md).
 *
 * @typedef {import("../backend.js").Backend} Backend
 * @typedef {import("../backend.js").Written} Written
 */

import { own } from "../storage.js";
import { eventData } from "./events.js";

const KEY = "gpt2-edge/key";
/**
 * More of a text's end than any context holds, in code units. Servers have a limit to what they read;
 * what is before this they would leave out themselves.
 */
const LONGEST = 150_000;

/** @returns {Backend} */
export function createBackend() {
  return {
    async info() {
      const model = await ask("model", undefined);
      return {
        ...model,
        contextLength: model.context_length,
        vocabSize: model.vocab_size,
        totalBytes: model.total_bytes,
      };
    },

    async tokenize(text) {
      const { prompt, cut } = ending(text);
      const { count, dropped_chars } = await ask("tokenize", { prompt });
      return { count, droppedChars: cut + dropped_chars };
    },

    async next(text, { k, seed, signal, ...settings }) {
      const { prompt, cut } = ending(text);
      const answer = await ask("next", { prompt, k, seed, ...fields(settings) }, signal);
      return { ...answer, droppedChars: cut + answer.dropped_chars };
    },

    async write(text, { n, maxTokens, seed, signal, onText, ...settings }) {
      const body = {
        prompt: ending(text).prompt,
        n,
        max_tokens: maxTokens,
        seed,
        stream: true,
        context_overflow: "slide",
        ...fields(settings),
      };
      /** @type {Written[]} */
      const written = Array.from({ length: n }, () => ({ text: "", finishReason: "" }));
      const response = await request("v1/completions", body, signal);
      for await (const data of eventData(response)) {
        const message = JSON.parse(data);
        if (message.error) throw new Error(sentence(message.error.message));
        for (const choice of message.choices) {
          const one = written[choice.index];
          if (!one) continue;
          one.text += choice.text;
          one.finishReason = choice.finish_reason ?? one.finishReason;
          if (choice.text) onText?.(choice.index, choice.text);
        }
      }
      if (written.some((one) => !one.finishReason)) {
        throw new Error("The server stopped in the middle of the text.");
      }
      return written;
    },

    async score(text, { alternatives, signal }) {
      const { prompt, cut } = ending(text);
      const answer = await ask("score", { prompt, alternatives }, signal);
      const tokens = moved(answer.tokens, cut);
      return { ...answer, tokens, droppedChars: cut + answer.dropped_chars };
    },

    async attention(text, { signal }) {
      const { prompt, cut } = ending(text);
      const answer = await ask("attention", { prompt }, signal);
      const { layers, heads } = answer;
      const tokens = moved(answer.tokens, cut);
      const length = tokens.length;
      const weights = new Float32Array(layers * heads * length * length);
      let row = 0;
      for (const layer of answer.attention) {
        for (const head of layer) {
          for (const keys of head) {
            weights.set(keys.slice(0, length), row);
            row += length;
          }
        }
      }
      return { tokens, layers, heads, weights, droppedChars: cut + answer.dropped_chars };
    },

    selfTest: ({ signal }) => ask("selftest", {}, signal),

    setKey(key) {
      if (!canBeSent(key)) {
        throw keyError(
          "This cannot be the key: it has characters that no key has. Is it copied whole?",
        );
      }
      own.setItem(KEY, key);
    },
  };
}

/**
 * As much of the end of `text` as is sent, and how much of its beginning is not.
 * @param {string} text
 */
function ending(text) {
  let cut = Math.max(text.length - LONGEST, 0);
  if (cut > 0 && /[\udc00-\udfff]/.test(text.charAt(cut))) cut += 1; // no half of a character
  return { prompt: text.slice(cut), cut };
}

/**
 * Tokens whose ranges are those of a text with `cut` code units more at its beginning.
 * @template {import("../backend.js").Token} T
 * @param {T[]} tokens
 * @param {number} cut
 */
function moved(tokens, cut) {
  return tokens.map((token) => ({ ...token, start: token.start + cut, end: token.end + cut }));
}

/**
 * The settings as the server names them; those that change nothing are left out.
 * @param {{temperature: number, topK: number, topP: number, minP: number}} settings
 */
function fields({ temperature, topK, topP, minP }) {
  return {
    temperature,
    ...(topK > 0 ? { top_k: topK } : {}),
    ...(topP < 1 ? { top_p: topP } : {}),
    ...(minP > 0 ? { min_p: minP } : {}),
  };
}

/**
 * @param {string} path
 * @param {object | undefined} body  Undefined: a GET.
 * @param {AbortSignal=} signal
 * @returns {Promise<any>}
 */
async function ask(path, body, signal) {
  const response = await request(path, body, signal);
  try {
    return await response.json();
  } catch (error) {
    throw signal?.aborted ? error : new Error("The server's answer was cut short.");
  }
}

/**
 * @param {string} path
 * @param {object | undefined} body
 * @param {AbortSignal=} signal
 */
async function request(path, body, signal) {
  const key = own.getItem(KEY) ?? "";
  /** @type {RequestInit} */
  const options = { headers: key && canBeSent(key) ? { Authorization: `Bearer ${key}` } : {} };
  if (signal) options.signal = signal;
  if (body) {
    options.method = "POST";
    options.headers = { ...options.headers, "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const url = new URL(path, document.baseURI);
  let response;
  try {
    // A kept connection may end just when it is used, and not every browser then takes another one
    // for a POST. Nothing that is asked here changes anything, so that it can be asked twice.
    response = await fetch(url, options).catch((error) => {
      if (signal?.aborted) throw error;
      return fetch(url, options);
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

/** What a refusal says, in words of people. @param {Response} response */
async function refusal(response) {
  if (response.status === 401) {
    return keyError("This server asks for a key.");
  }
  if (response.status === 429) return new Error("The server is busy. Try again in a moment.");
  if (response.status === 503) return new Error("The server is shutting down.");
  try {
    return new Error(sentence((await response.json()).error.message));
  } catch {
    return new Error(`The server could not do that (HTTP ${response.status}).`);
  }
}

/** The page asks for a key where an error has this name. @param {string} message */
function keyError(message) {
  const error = new Error(message);
  error.name = "KeyError";
  return error;
}

/** Headers have Latin-1, and one line of it; with anything else fetch throws. @param {string} key */
function canBeSent(key) {
  return !/[^\t -\xff]/.test(key);
}

/** @param {string} message  Such as "the prompt is empty". */
function sentence(message) {
  const text = String(message);
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
