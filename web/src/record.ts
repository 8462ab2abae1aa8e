/** From a text that has ended to its record. */

import type { TextRequest } from "./request.js";
import type { GenerationResult } from "./result.js";
import type { Provider } from "./runtime.js";

/** The record of a text that has ended. */
export function resultOf(request: TextRequest, provider: Provider): GenerationResult {
  const { events, newIds: ids, promptSeconds, decodeSeconds, settings } = request;
  const promptTokens = request.prompt.length;
  const measured = ids.length > 0 && promptSeconds > 0;
  const later = ids.length - 1;
  return {
    text: request.writesText ? events.map(({ text }) => text).join("") : null,
    ids,
    finishReason: request.finishReason!,
    promptTokens,
    seed: request.seed,
    provider,
    logprobs: settings.logprobs ? events.flatMap(({ logprobs }) => logprobs) : null,
    topLogprobs: settings.topLogprobs > 0 ? events.flatMap(({ topLogprobs }) => topLogprobs) : null,
    promptSeconds,
    decodeSeconds,
    promptTokensPerSecond: measured ? promptTokens / promptSeconds : 0,
    decodeTokensPerSecond: later > 0 && decodeSeconds > 0 ? later / decodeSeconds : 0,
  };
}
