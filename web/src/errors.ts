/**
 * The errors that this project raises on purpose; the same family as Python's errors.py.
 *
 * Each message is one printable line of bounded length that names the file or value, what was
 * expected and what to do. `cause` is the error of another library that it was made of.
 */

import { oneLine } from "./untrusted.js";

/** Base of every error that this project raises on purpose. */
export class GPT2EdgeError extends Error {
  override name = "GPT2EdgeError";

  constructor(message: string, options?: ErrorOptions) {
    super(oneLine(message), options);
  }
}

/** The package is missing, damaged, or of a format that this version does not read. */
export class PackageError extends GPT2EdgeError {
  override name = "PackageError";
}

/** The execution provider is not there, or cannot run this package's graph. */
export class ProviderError extends GPT2EdgeError {
  override name = "ProviderError";
}

/** The prompt does not fit the model's context. */
export class ContextOverflowError extends GPT2EdgeError {
  override name = "ContextOverflowError";
}

/** A generation setting or a prompt is out of its range, or the model gave no numbers. */
export class GenerationError extends GPT2EdgeError {
  override name = "GenerationError";
}
