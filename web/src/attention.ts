/**
 * Attention's weights: with which each token looks at itself and the ones before it. They come from
 * a session of its own, made of the package's graph when somebody first asks, so that writing pays
 * nothing for them. It runs on the processor, on every device.
 */

import { attentive } from "./graph-edit.js";
import { GenerationError, GPT2EdgeError, PackageError, ProviderError } from "./errors.js";
import { nextTask } from "./next-task.js";
import type { Package } from "./package.js";
import { nextPart } from "./prefill.js";
import type { RuntimeOptions } from "./runtime.js";
import { Session } from "./session.js";
import { reason, shown } from "./untrusted.js";

const MOST_BYTES = 2 ** 29; // of one answer; 124M comes to it at 940 tokens

/** A session that gives attention's weights. */
export class Attention {
  private constructor(
    private readonly session: Session,
    private readonly outputs: readonly string[],
  ) {}

  /** On a processor, whose kernels have the output. GenerationError where the graph has not. */
  static async load(
    source: Package,
    provider: "wasm" | "cpu",
    options: RuntimeOptions,
  ): Promise<Attention> {
    const { name } = source.manifest;
    try {
      const { graph, outputs } = attentive(source.graph, source.manifest);
      const choice = { providers: [provider], reason: null };
      // Floats would take 8 times the memory for a few runs of whole prompts.
      const small = { ...options, floatWeights: false };
      return new Attention(await Session.load({ ...source, graph }, choice, small), outputs);
    } catch (error) {
      throw cannot(name, error);
    }
  }

  /**
   * [layers, heads, tokens, tokens], row by row: how much each token attends to each, 0 to later
   * ones. GenerationError for more of them than fit MOST_BYTES. Throws the reason of `signal`.
   */
  async weights(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array> {
    const { numLayers, numHeads, contextLength } = this.session.manifest.architecture;
    const tokens = ids.length;
    const square = tokens ** 2;
    const size = numLayers * numHeads * square;
    if (size * Float32Array.BYTES_PER_ELEMENT > MOST_BYTES) {
      const most = Math.floor(Math.sqrt(MOST_BYTES / 4 / (numLayers * numHeads)));
      throw new GenerationError(
        `the attention of ${tokens} tokens has ${size} weights, more than are given at once; ` +
          `shorten the text to ${Math.min(most, contextLength)} tokens`,
      );
    }
    const weights = new Float32Array(size);
    const sequence = await this.session.start(tokens);
    try {
      while (sequence.length < tokens) {
        await nextTask();
        signal?.throwIfAborted();
        const [begin, end] = nextPart(sequence.length, tokens);
        await sequence.trim(begin);
        const found = await sequence.feedFor(ids.slice(begin, end), this.outputs);
        for (const [layer, output] of this.outputs.entries()) {
          const { data, dims } = found[output]!;
          const wanted = [1, numHeads, end - begin, end];
          if (!(data instanceof Float32Array) || wanted.some((n, at) => dims[at] !== n)) {
            throw new PackageError(`the graph gives attention as ${shown(dims)}`);
          }
          for (let row = 0; row < numHeads * (end - begin); row++) {
            const head = Math.floor(row / (end - begin));
            const query = begin + (row % (end - begin));
            const to = (layer * numHeads + head) * square + query * tokens;
            weights.set(data.subarray(row * end, (row + 1) * end), to);
          }
        }
      }
    } catch (error) {
      throw error instanceof PackageError || error instanceof ProviderError
        ? cannot(this.session.manifest.name, error)
        : error;
    } finally {
      sequence.dispose();
    }
    return weights;
  }

  dispose(): Promise<void> {
    return this.session.dispose();
  }
}

function cannot(name: string, error: unknown): GenerationError {
  const why = error instanceof GPT2EdgeError ? error.message : reason(error);
  return new GenerationError(
    `${shown(name)} gives no attention weights here: ${why}; export it with --flavour fused or ` +
      "portable, and without --cache-dtype float16",
    { cause: error },
  );
}
