/**
 * What a graph may be made of, whoever wrote it: nodes of ONNX and ONNX Runtime in one list. No GPT-2
 * needs more, and what else there is may run for ever. spec/graphs.json has the rule for all runtimes.
 */

import { shown, UnreadableError } from "./untrusted.js";

export const DOMAINS: ReadonlySet<string> = new Set(["", "ai.onnx", "com.microsoft"]);

/** Operators that run a graph within them, by loops, branches or searches. */
export const WITH_GRAPHS: ReadonlySet<string> = new Set([
  "BeamSearch",
  "GreedySearch",
  "If",
  "Loop",
  "Sampling",
  "Scan",
  "SequenceMap",
  "WhisperBeamSearch",
]);

/** An operator that makes a provider read files of its own. */
export const COMPILED = "EPContext";

/** UnreadableError for a node that no graph of a GPT-2 has. */
export function checkNode(operator: string, domain: string): void {
  if (WITH_GRAPHS.has(operator)) throw withGraph(operator);
  if (operator === COMPILED) {
    throw new UnreadableError(`it has a node ${COMPILED}, compiled for one device`);
  }
  if (!DOMAINS.has(domain)) {
    throw new UnreadableError(
      `it has a node ${shown(operator)} of ${shown(domain)}, operators of another library`,
    );
  }
}

/** What to throw for a node that holds a graph. */
export function withGraph(operator: string): UnreadableError {
  return new UnreadableError(
    `it has a node ${shown(operator)}, which runs a graph within the graph`,
  );
}

/** What to throw for a file that brings functions. */
export function withFunctions(): UnreadableError {
  return new UnreadableError("it has operators of its own, as functions");
}
