/**
 * The model behind `gpt2-edge serve`, over HTTP (docs/SERVER.md).
 *
 * @typedef {import("../backend.js").Backend} Backend
 * @typedef {import("../backend.js").Written} Written
 */

import { eventData } from "./events.js";

const KEY = "gpt2-edge/key";

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
      const { count, dropped_chars } = await ask("tokenize", { prompt: text });
      return { count, droppedChars: dropped_chars ?? 0 };
    },

    async next(text, { k, seed, signal, ...settings }) {
      const answer = await ask("next", { prompt: text, k, seed, ...fields(settings) }, signal);
      return { ...answer, droppedChars: answer.dropped_chars };
    },

    async write(text, { n, maxTokens, seed, signal, onText, ...settings }) {
      const body = {
        prompt: text,
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
      const answer = await ask("score", { prompt: text, alternatives }, signal);
      return { ...answer, droppedChars: answer.dropped_chars };
    },

    async attention(text, { signal }) {
      const answer = await ask("attention", { prompt: text }, signal);
      const { tokens, layers, heads } = answer;
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
      return { tokens, layers, heads, weights, droppedChars: answer.dropped_chars };
    },

    selfTest: ({ signal }) => ask("selftest", {}, signal),

    setKey(key) {
      sessionStorage.setItem(KEY, key);
    },
  };
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
  const key = sessionStorage.getItem(KEY);
  /** @type {RequestInit} */
  const options = { headers: key ? { Authorization: `Bearer ${key}` } : {} };
  if (signal) options.signal = signal;
  if (body) {
    options.method = "POST";
    options.headers = { ...options.headers, "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), options);
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
    const error = new Error("This server asks for a key.");
    error.name = "KeyError";
    return error;
  }
  if (response.status === 429) return new Error("The server is busy. Try again in a moment.");
  if (response.status === 503) return new Error("The server is shutting down.");
  try {
    return new Error(sentence((await response.json()).error.message));
  } catch {
    return new Error(`The server could not do that (HTTP ${response.status}).`);
  }
}

/** @param {string} message  Such as "the prompt is empty". */
function sentence(message) {
  const text = String(message);
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
