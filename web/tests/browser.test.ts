/** The same tokens in a real browser: with threads, in a worker, and on WebGPU. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import type { Page } from "playwright-core";

import type { GenerationConfig, GenerationResult, LoadOptions } from "../src/index.js";
import { serve, type Served } from "../scripts/static-server.js";
import { startBrowser, type Browser } from "./browser.js";
import { readExpected, serveAll, WEB, type TextCase } from "./support.js";

const { packages } = readExpected();
const FOUR: GenerationConfig = { maxNewTokens: 4, ignoreEos: true };
const SOFTWARE_WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

let served: Served;
let browser: Browser;
before(async () => {
  served = await serveAll();
  browser = await startBrowser();
});
after(async () => {
  await browser.close();
  await served.close();
});

interface Ran {
  readonly result: GenerationResult;
  readonly problems: string[];
}

/** Load a package in `page` and continue a prompt there. */
function generateIn(
  page: Page,
  name: string,
  load: LoadOptions,
  prompt: string,
  config: GenerationConfig,
  selfTest: boolean,
): Promise<Ran> {
  return page.evaluate(
    async ([address, options, text, settings, check]) => {
      const library = "/build/src/index.js";
      const { Generator } = (await import(library)) as typeof import("../src/index.js");
      const generator = await Generator.load(address, options);
      const problems = check ? await generator.selfTest() : [];
      const result = await generator.generate(text, settings);
      await generator.dispose();
      return { result, problems };
    },
    [`/packages/${name}/`, load, prompt, config, selfTest] as const,
  );
}

function configOf({ ids, config }: TextCase): GenerationConfig {
  return { ...config, maxNewTokens: ids.length, ignoreEos: true };
}

/** A page with an import map, where nothing else runs. */
function emptyPage(from: Browser): Promise<Page> {
  return from.newPage(`${served.url}/tests/empty.html`);
}

for (const name of ["int4", "int8", "fp32", "gpt-neo"]) {
  test(`${name}: tokens in Chromium are Python's`, async () => {
    const page = await emptyPage(browser);
    const { greedy, sampled } = packages[name]!;
    const cases = [greedy, ...(sampled ? [sampled] : [])];
    for (const [at, one] of cases.entries()) {
      const ran = await generateIn(page, name, { threads: 1 }, one.prompt, configOf(one), at === 0);
      assert.deepEqual(ran.problems, []);
      assert.deepEqual(ran.result.ids, one.ids);
      assert.equal(ran.result.text, one.text);
      assert.equal(ran.result.provider, "wasm");
    }
    assert.deepEqual(browser.complaints, []);
    await page.close();
  });
}

test("two threads and a worker give the same tokens", async () => {
  const { greedy } = packages["int4"]!;
  const config = { maxNewTokens: 20, ignoreEos: true };
  for (const load of [{ threads: 2 }, { threads: 1, worker: true }, { threads: 2, worker: true }]) {
    const page = await emptyPage(browser); // in a new page, ONNX Runtime starts anew
    const { result } = await generateIn(page, "int4", load, greedy.prompt, config, false);
    assert.deepEqual(result.ids, greedy.ids.slice(0, 20), JSON.stringify(load));
    if (load.worker) assert.ok(page.workers().some((worker) => worker.url().includes("ort.wasm")));
    else if (load.threads > 1) assert.ok(page.workers().length > 0);
    await page.close();
  }
});

test("threads cannot change in a page: that is a line", async () => {
  const page = await emptyPage(browser);
  await generateIn(page, "int4", { threads: 2 }, "The", FOUR, false);
  await assert.rejects(
    generateIn(page, "int4", { threads: 1 }, "The", FOUR, false),
    /threads is 1, but ONNX Runtime runs with 2 in this page already, and cannot change it; reload/,
  );
  await page.close();
});

test("without isolation from other sites, several threads are refused in a line", async () => {
  const plain = await serve({ "/": WEB }, { isolated: false });
  const page = await browser.newPage(`${plain.url}/tests/empty.html`);
  const load = (threads: number) =>
    page.evaluate(async (count) => {
      const library = "/build/src/index.js";
      const { Generator } = (await import(library)) as typeof import("../src/index.js");
      const options = count > 0 ? { threads: count } : {};
      return (await Generator.load("/build/packages/int4/", options)).provider;
    }, threads);
  await assert.rejects(
    load(2),
    /threads is 2, but the page is not cross-origin isolated; serve it with/,
  );
  assert.equal(await load(0), "wasm");
  await page.close();
  await plain.close();
});

test("the processor of the build for WebGPU, which transformers.js loads, has all operators", async () => {
  const page = await emptyPage(browser);
  const inputs = await page.evaluate(async () => {
    const library = "/node_modules/onnxruntime-web/dist/ort.webgpu.min.mjs";
    const ort = (await import(library)) as typeof import("onnxruntime-web");
    ort.env.wasm.numThreads = 1;
    const graph = await (await fetch("/packages/int4/model.onnx")).arrayBuffer();
    const options = { executionProviders: ["wasm"] } as const;
    const session = await ort.InferenceSession.create(new Uint8Array(graph), options);
    return session.inputNames.length;
  });
  assert.ok(inputs > 3);
  await page.close();
});

test("a GPT-Neo's windows are as wide on WebGPU", { timeout: 600_000 }, async (t) => {
  const gpu = await startBrowser(SOFTWARE_WEBGPU);
  try {
    const page = await emptyPage(gpu);
    if (!(await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter())))) {
      t.skip("this Chromium has no WebGPU adapter, not even SwiftShader's");
      return;
    }
    const { greedy } = packages["gpt-neo"]!;
    const config = { maxNewTokens: 14, ignoreEos: true };
    const load: LoadOptions = { provider: "webgpu", threads: 1 };
    const { result } = await generateIn(page, "gpt-neo", load, greedy.prompt, config, false);
    assert.equal(result.provider, "webgpu");
    assert.deepEqual(result.ids, greedy.ids.slice(0, 14));
  } finally {
    await gpu.close();
  }
});

test("WebGPU gives Python's tokens", { timeout: 600_000 }, async (t) => {
  const gpu = await startBrowser(SOFTWARE_WEBGPU);
  try {
    const page = await emptyPage(gpu);
    const adapter = await page.evaluate(async () => {
      const found = await (navigator.gpu as GPU | undefined)?.requestAdapter();
      const name = `${found?.info.vendor} ${found?.info.architecture}`;
      return found ? name : null;
    });
    if (adapter === null) {
      t.skip("this Chromium has no WebGPU adapter, not even SwiftShader's");
      return;
    }
    t.diagnostic(`adapter: ${adapter}`);
    const load: LoadOptions = { provider: "webgpu", threads: 1 };
    // The prompt is longer than 32 tokens, from which on attention takes another kernel.
    const { greedy } = packages["int4"]!;
    const begun = greedy.ids.slice(0, 30);
    const { encoded, stepLimit, result, apart, scoresApart, attends } = await page.evaluate(
      async ([options, prompt, ids]) => {
        const library = "/build/src/index.js";
        const { Generator } = (await import(library)) as typeof import("../src/index.js");
        const generator = await Generator.load("/packages/int4/", options);
        const encoded = [...generator.encode(prompt), ...ids];
        const result = await generator.generate(encoded, { maxNewTokens: 3, ignoreEos: true });
        const { stepLimit } = generator.session;
        const logits = await generator.logits(encoded);
        const scores = await generator.scoreTokens(encoded.slice(0, 20));
        const { weights } = await generator.attention(encoded.slice(0, 8));
        await generator.dispose();
        const wasm = await Generator.load("/packages/int4/", { provider: "wasm", threads: 1 });
        const same = await wasm.logits(encoded);
        const sameScores = await wasm.scoreTokens(encoded.slice(0, 20));
        const scoresApart = Math.max(
          ...scores.map(({ logprob }, at) =>
            Math.abs((logprob ?? 0) - (sameScores[at]!.logprob ?? 0)),
          ),
        );
        const sameWeights = (await wasm.attention(encoded.slice(0, 8))).weights;
        const attends = weights.every((weight, at) => Math.abs(weight - sameWeights[at]!) < 1e-6);
        const apart = Math.max(...logits.map((logit, id) => Math.abs(logit - same[id]!)));
        return { encoded, stepLimit: String(stepLimit), result, apart, scoresApart, attends };
      },
      [load, greedy.prompt, begun] as const,
    );
    assert.ok(encoded.length > 32);
    assert.equal(result.provider, "webgpu");
    assert.deepEqual(result.ids, greedy.ids.slice(30, 33));
    t.diagnostic(`tokens in one step: ${stepLimit}; logits up to ${apart.toFixed(2)} from wasm's`);
    assert.ok(apart < 0.7, `${apart}`); // rounding in int4 comes to 0.4, wrong attention to 1 and more
    assert.ok(scoresApart < 0.7, `${scoresApart}`);
    assert.ok(attends); // it runs on WebAssembly in both
    // "auto" takes no GPU that is software, and says so.
    const auto = await page.evaluate(async () => {
      const library = "/build/src/index.js";
      const { Generator } = (await import(library)) as typeof import("../src/index.js");
      const { provider, fallbackReason } = await Generator.load("/packages/int4/", { threads: 1 });
      return { provider, fallbackReason };
    });
    assert.deepEqual(auto, {
      provider: "wasm",
      fallbackReason: "the WebGPU adapter here is software",
    });
    await page.close();
  } finally {
    await gpu.close();
  }
});
