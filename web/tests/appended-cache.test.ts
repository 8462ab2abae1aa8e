/** The cache on the processor, natively and in WebAssembly: steps give their own rows, which are kept. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { loading, readExpected } from "./support.js";

const expected = readExpected();

for (const provider of ["cpu", "wasm"] as const) {
  const { load } = loading(provider);

  test(`${provider}: one that grows, slides and is trimmed holds what a new one holds`, async () => {
    const { prompt, ids, kept } = expected.slide;
    for (const name of ["fp32", "cache-float16", "portable"]) {
      const generator = await load(name);
      const config = {
        maxNewTokens: ids.length,
        ignoreEos: true,
        contextOverflow: "slide",
      } as const;
      if (name === "fp32") {
        assert.deepEqual((await generator.generate(prompt, config)).ids, ids);
        const { keep } = kept;
        assert.deepEqual(
          (await generator.generate(kept.prompt, { ...config, keep })).ids,
          kept.ids,
        );
      }
      // Room is made anew at 64 tokens and beyond.
      const sequence = await generator.session.start(400);
      await sequence.feed(prompt.slice(0, 32));
      const first = Float32Array.from(await sequence.feed(prompt.slice(32, 256)));
      await sequence.trim(32);
      assert.deepEqual(Float32Array.from(await sequence.feed(prompt.slice(32, 256))), first);
      sequence.dispose();
      assert.deepEqual(await generator.logits(prompt.slice(0, 256)), first);
    }
  });

  test(`${provider}: a step takes no more memory behind a longer text`, async () => {
    for (const name of ["fp32", "portable"]) {
      const generator = await load(name);
      const sequence = await generator.session.start(400);
      const taken = async (): Promise<number> => {
        const steps: number[] = [];
        for (let step = 0; step < 21; step++) {
          const { arrayBuffers } = process.memoryUsage();
          await sequence.feed([1]);
          steps.push(process.memoryUsage().arrayBuffers - arrayBuffers);
        }
        return steps.sort((a, b) => a - b)[steps.length >> 1]!; // some are collected in between
      };
      const early = await taken();
      await sequence.feed(Array<number>(300).fill(1));
      const late = await taken();
      assert.ok(late < early + 10_000, `${name}: ${early} and ${late} bytes`);
      sequence.dispose();
    }
  });
}
