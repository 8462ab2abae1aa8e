/** The same tokens in a real browser: as a module, through the demo page, and on WebGPU. */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";

import type { Page } from "playwright-core";

import type { GenerationConfig, GenerationResult, LoadOptions } from "../src/index.js";
import type { Served } from "../scripts/static-server.js";
import { startBrowser, type Browser } from "./browser.js";
import { readExpected, serveAll, WEB, type TextCase } from "./support.js";

const { packages } = readExpected();
const SCREENSHOTS = `${WEB}build/screenshots`;
const WAIT = { timeout: 120_000 };
const SOFTWARE_WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

let served: Served;
let browser: Browser;
before(async () => {
  served = await serveAll();
  browser = await startBrowser();
  await mkdir(SCREENSHOTS, { recursive: true });
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

/** A page of the server with the demo's import map, where nothing else runs. */
async function emptyPage(from: Browser): Promise<Page> {
  const page = await from.newPage(`${served.url}/demo/index.html?package=/none/`);
  await page.waitForSelector("#status.wrong");
  from.complaints.length = 0; // the package that is not there
  return page;
}

for (const name of ["int4", "int8", "fp32", "cache-float16", "portable"]) {
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

test("the demo writes Python's text, stops, offers words, and takes them back", async () => {
  const page = await browser.newPage(`${served.url}/demo/index.html?package=/packages/int4/`);
  browser.complaints.length = 0;
  const text = page.locator("#text");
  const status = page.locator("#status");
  const value = () => text.inputValue();
  const { greedy, next } = packages["int4"]!;
  await page.waitForSelector("#options button", WAIT);
  assert.match((await page.locator("#model").textContent())!, /^sample, int4, on wasm$/);

  // The options are Python's, likeliest first.
  await text.fill(next.prompt);
  const first = next.tokens[0]!;
  const word = first.text.replaceAll(" ", "␣");
  await page.waitForSelector("#options button:disabled");
  await page.waitForSelector("#options button:enabled", WAIT);
  assert.equal(await page.locator("#options .word").first().textContent(), word);
  const percent = (await page.locator("#options .percent").first().textContent())!;
  assert.ok(Math.abs(parseFloat(percent) / 100 - first.probability) < 0.05, percent);
  assert.equal(await page.locator("#options button").count(), 8);

  // Tapping one adds it; Undo takes it back.
  await page.locator("#options button").first().click();
  assert.equal(await value(), next.prompt + first.text);
  await page.locator("#undo").click();
  assert.equal(await value(), next.prompt);

  // Writing greedily gives Python's text.
  await text.fill(greedy.prompt);
  await page.locator("summary").click();
  await page.locator("#temperature").fill("0");
  await page.locator("#tokens").fill(String(greedy.ids.length));
  await page.locator("#write").click();
  await page.waitForFunction(() => /ended by/.test(document.body.innerText), undefined, WAIT);
  assert.equal(await value(), greedy.prompt + greedy.text);
  assert.match((await page.locator("#speed").textContent())!, /^\d+\.\d tokens\/s$/);
  await page.waitForSelector("#options button:enabled", WAIT);
  await page.screenshot({ path: `${SCREENSHOTS}/light.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${SCREENSHOTS}/dark.png`, fullPage: true });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.screenshot({ path: `${SCREENSHOTS}/phone.png`, fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} wide on a phone of 360`);

  // Stop ends a long text; Undo takes all of it back.
  await text.fill(greedy.prompt);
  await page.locator("#temperature").fill("0.9");
  await page.locator("#tokens").fill("400");
  await page.locator("#write").click();
  await page.waitForFunction(
    (length) => document.querySelector("textarea")!.value.length > length + 20,
    greedy.prompt.length,
    WAIT,
  );
  assert.equal(await page.locator("#write").isDisabled(), true);
  await page.locator("#stop").click();
  await page.waitForFunction(() => /ended by/.test(document.body.innerText), undefined, WAIT);
  assert.match((await status.textContent())!, /^\d+ tokens, ended by cancelled, seed \d+$/);
  assert.ok((await value()).length > greedy.prompt.length + 20);
  await page.locator("#undo").click();
  assert.equal(await value(), greedy.prompt);

  // A setting out of range is said in a line, and the page goes on.
  await page.locator("#temperature").fill("-1");
  await page.locator("#write").click();
  assert.match((await status.textContent())!, /^temperature is -1; it must be 0/);
  assert.equal(await page.locator("#write").isEnabled(), true);
  assert.deepEqual(browser.complaints, []);
  await page.close();
});

test("without isolation from other sites, several threads are refused in a line", async () => {
  const { serve } = await import("../scripts/static-server.js");
  const plain = await serve({ "/": WEB }, { isolated: false });
  const page = await browser.newPage(
    `${plain.url}/demo/index.html?package=/build/packages/int4/&threads=2`,
  );
  await page.waitForSelector("#status.wrong");
  const message = (await page.locator("#status").textContent())!;
  assert.match(message, /^threads is 2, but the page is not cross-origin isolated; serve it with/);
  await page.goto(`${plain.url}/demo/index.html?package=/build/packages/int4/`);
  await page.waitForSelector("#options button", WAIT);
  await page.close();
  await plain.close();
});

test("WebGPU gives Python's tokens", { timeout: 300_000 }, async (t) => {
  const gpu = await startBrowser(SOFTWARE_WEBGPU);
  try {
    const page = await emptyPage(gpu);
    const adapter = await page.evaluate(async () => {
      const found = await (navigator.gpu as GPU | undefined)?.requestAdapter();
      const name = `${found?.info.vendor} ${found?.info.architecture}`;
      return found ? { name, halves: found.features.has("shader-f16") } : null;
    });
    if (adapter === null) {
      t.skip("this Chromium has no WebGPU adapter, not even SwiftShader's");
      return;
    }
    t.diagnostic(`adapter: ${adapter.name}${adapter.halves ? "" : ", without 16-bit floats"}`);
    const load: LoadOptions = { provider: "webgpu", threads: 1 };
    const config = { maxNewTokens: 4, ignoreEos: true };
    const run = (name: string) =>
      generateIn(page, name, load, packages[name]!.greedy.prompt, config, false);
    const { result: onGpu } = await run("int4");
    assert.equal(onGpu.provider, "webgpu");
    assert.deepEqual(onGpu.ids, packages["int4"]!.greedy.ids.slice(0, 4));
    // The portable graph reads float16 tables, which not every GPU can.
    if (adapter.halves) {
      assert.deepEqual(
        (await run("portable")).result.ids,
        packages["portable"]!.greedy.ids.slice(0, 4),
      );
    } else {
      await assert.rejects(run("portable"), /provider webgpu cannot run sample: .+f16/);
    }
    // "auto" takes no GPU that is software.
    const { greedy } = packages["int4"]!;
    const { result } = await generateIn(
      page,
      "int4",
      { threads: 1 },
      greedy.prompt,
      { maxNewTokens: 1 },
      false,
    );
    assert.equal(result.provider, "wasm");
    await page.close();
  } finally {
    await gpu.close();
  }
});
