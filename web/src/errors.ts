/**
 * The errors that this project raises on purpose; the same family as Python's errors.py.
 *
 * Each message is one line that names the file or value, what was expected and what to do.
 */

/** Base of every error that this project raises on purpose. */
export class GPT2EdgeError extends Error {
  override name = "GPT2EdgeError";
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

/** A generation setting or a prompt is out of its range. */
export class GenerationError extends GPT2EdgeError {
  override name = "GenerationError";
}

/** The first line of whatever was thrown. */
export function firstLine(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.split("\n", 1)[0] ?? "";
}
