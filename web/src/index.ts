/** gpt2-edge packages in the browser. `Generator.load(url)` is where to start. */

export type { GenerationConfig, GenerationDefaults } from "./config.js";
export {
  ContextOverflowError,
  GenerationError,
  GPT2EdgeError,
  PackageError,
  ProviderError,
} from "./errors.js";
export { Generator, TextStream } from "./generate.js";
export type { LoadOptions, RunOptions } from "./generate.js";
export type { Manifest } from "./manifest.js";
export type { DownloadOptions, Progress } from "./package.js";
export type { Prompt } from "./prompt.js";
export type { FinishReason, GenerationResult, NextToken, Token } from "./result.js";
export type { Provider, RuntimeOptions } from "./runtime.js";
export type { EncodeOptions } from "./tokenizer.js";
