/** What only a run tells: how many tokens at once a GPU computes right, and the last position. */

import { PackageError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { reason } from "./untrusted.js";

// onnxruntime-web 1.30 takes another attention kernel from 32 tokens on. It is wrong where
// subgroups are smaller than it expects (4 on SwiftShader); others were wrong from 5 tokens on.
const MANY = 64;
const SOME = 16;
const FEW = 6;
// Root mean square, in standard deviations of the logits. SwiftShader is 1e-6 off where it is right
// and 0.5 where it is wrong; the rest is room for GPUs whose steps round differently.
const TOLERATED = 0.15;

/** What is tried of a session. */
interface Tried {
  readonly manifest: Manifest;
  start(capacity: number): Promise<{
    feed(ids: readonly number[], position?: number): Promise<Float32Array>;
    dispose(): void;
  }>;
}

/**
 * The largest step that gives the logits of smaller ones: Infinity, SOME or 1. ProviderError if
 * the graph does not run.
 */
export async function tryStepLimit(session: Tried): Promise<number> {
  const { contextLength, vocabSize } = session.manifest.architecture;
  const ids = Array.from(
    { length: Math.min(MANY, contextLength) },
    (_, at) => (7 * at) % vocabSize,
  );
  const agree = async (tokens: readonly number[], size: number): Promise<boolean> => {
    const whole = await logitsInSteps(session, tokens, tokens.length);
    return difference(whole, await logitsInSteps(session, tokens, size)) <= TOLERATED;
  };
  if (await agree(ids, SOME)) return Infinity;
  return (await agree(ids.slice(0, FEW), 1)) ? SOME : 1;
}

/**
 * PackageError unless the graph has the last position of the manifest's context. One step, for
 * graphs whose table of positions is not plain to see; without position_ids none can tell.
 */
export async function tryPosition(session: Tried, url: string): Promise<void> {
  const { manifest } = session;
  const { contextLength } = manifest.architecture;
  if (manifest.graph.names.positionIds === null) return;
  const sequence = await session.start(1);
  try {
    await sequence.feed([0], contextLength - 1);
  } catch (error) {
    throw new PackageError(
      `${url} cannot run at the last position of the manifest's context_length ` +
        `${contextLength}: ${reason(error)}; export the package again`,
      { cause: error },
    );
  } finally {
    sequence.dispose();
  }
}

/** Logits after `ids`, fed in steps of `size`; where there are several, the last token is alone. */
async function logitsInSteps(
  session: Tried,
  ids: readonly number[],
  size: number,
): Promise<Float32Array> {
  const sequence = await session.start(ids.length);
  try {
    if (size >= ids.length) return await sequence.feed(ids);
    const before = ids.length - 1;
    for (let start = 0; start < before; start += size) {
      await sequence.feed(ids.slice(start, Math.min(start + size, before)));
    }
    return await sequence.feed(ids.slice(before));
  } finally {
    sequence.dispose();
  }
}

/** Root mean square of a - b, in standard deviations of b. */
function difference(a: Float32Array, b: Float32Array): number {
  const mean = b.reduce((sum, value) => sum + value, 0) / b.length;
  let apart = 0;
  let spread = 0;
  for (const [at, value] of b.entries()) {
    apart += (a[at]! - value) ** 2;
    spread += (value - mean) ** 2;
  }
  return Math.sqrt(apart / spread);
}
