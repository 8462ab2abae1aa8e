/** gpt2-edge packages in the browser. `Generator.load(url)` is where to start. */

export { chosenPackage, type ChosenPackage } from "./chosen-files.js";
export type { Biases, GenerationConfig, GenerationDefaults } from "./config.js";
export {
  ContextOverflowError,
  GenerationError,
  GPT2EdgeError,
  PackageError,
  ProviderError,
} from "./errors.js";
export { Generator } from "./generate.js";
export type { CallOptions, LoadOptions, NextOptions, RunOptions, ScoreOptions } from "./options.js";
export { PromptCache } from "./prompt-cache.js";
export type { Manifest } from "./manifest.js";
export type { DownloadOptions, Progress, RemoteFile } from "./download.js";
export type { WeightGroup } from "./groups.js";
export { keptFiles, type FileStore } from "./kept-files.js";
export type { Prompt } from "./prompt.js";
export type {
  Alternative,
  AttentionWeights,
  FinishReason,
  GenerationResult,
  NextToken,
  PlacedToken,
  ScoredToken,
  TextEvent,
  Token,
} from "./result.js";
export type { Provider, RuntimeOptions } from "./runtime.js";
export type { BiasList } from "./settings.js";
export { EventStream, TextStream } from "./stream.js";
export type { EncodeOptions } from "./tokenizer.js";
