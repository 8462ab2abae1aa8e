/**
 * The playground without a server of its own: the static build in Chromium, the model in a worker.
 * The text must outlive whatever goes wrong, and a second visit needs no network.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { Browser, Page } from "playwright-core";

import { buildPlayground, POLICY } from "../scripts/build-playground.js";
import { serve, type Served, type ServeOptions } from "../scripts/static-server.js";
import {
  assertAccessible,
  assertFits,
  continuations,
  Drag,
  LOOKS,
  ready,
  SCREENSHOTS,
  startChromium,
  textOf,
  view,
  visitor,
  type Visitor,
} from "./playground.js";
import { PACKAGES, readExpected } from "./support.js";

const { packages } = readExpected();
const { next, score } = packages["portable"]!;
const VIEWS = ["write", "next", "read", "attention", "model"];

let folder: string;
let browser: Browser;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gpt2-edge-playground-"));
  await buildPlayground(join(folder, "page"));
  browser = await startChromium();
});
after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The page in a subfolder of a plain static host, with a package beside it. */
function host(name: string, options: ServeOptions = {}): Promise<Served> {
  const folders = { "/some/where/": join(folder, "page"), "/some/where/package/": PACKAGES + name };
  return serve({ ...folders, "/packages/": PACKAGES }, { isolated: false, ...options });
}

/** A visitor of the page with nothing kept, while `work` goes on. */
async function visiting(
  served: Served,
  work: (page: Page, guest: Visitor) => Promise<void>,
  { query = "", look = LOOKS[0]! } = {},
): Promise<void> {
  const guest = await visitor(browser, look);
  try {
    await work(await guest.open(`${served.url}/some/where/${query}`), guest);
  } finally {
    await guest.close();
    await served.close();
  }
}

/** The words that are offered behind `text`. */
async function optionsAfter(page: Page, text: string): Promise<string[]> {
  await page.locator("#tab-write").click();
  await page.locator("#text").fill(text);
  await view(page, "next");
  return page.locator(".next .option:not([hidden]) .word").allTextContents();
}

/** Python's options: the likeliest may change places where rounding does. */
function assertPythons(words: readonly string[]): void {
  const expected = next.tokens.slice(0, 5).map(({ text }) => text.replaceAll(" ", "·"));
  for (const word of expected) assert.ok(words.includes(word), `${word} of ${words.join()}`);
}

test("all five views work in the browser alone", async () => {
  // Hosts may say themselves what the page says of its scripts; the worker is then bound, too.
  const headers = { "content-security-policy": POLICY };
  await visiting(await host("portable", { headers }), async (page, { complaints }) => {
    await ready(page);
    assertPythons(await optionsAfter(page, next.prompt));
    await page.locator(".next .option").first().click();
    assert.ok((await textOf(page)).length > next.prompt.length);
    await page.keyboard.press("u");
    assert.equal(await textOf(page), next.prompt);

    await view(page, "write");
    await page.locator("#text").press("Tab");
    const [, second] = await continuations(page);
    await page.keyboard.press("2");
    const taken = await textOf(page);
    assert.equal(taken.replace(/\n/g, " ↵ "), next.prompt + second);
    await page.keyboard.press("Control+z");
    assert.equal(await textOf(page), next.prompt);
    await page.keyboard.press("Control+Enter");
    await page.waitForFunction(
      (length) => document.querySelector("textarea")!.value.length > length + 5,
      next.prompt.length,
    );
    await page.keyboard.press("Escape");
    await page.waitForSelector(".write:not(.is-writing)");
    await page.keyboard.press("Control+z");
    assert.equal(await textOf(page), next.prompt);

    await page.locator("#text").fill(score.prompt);
    await view(page, "read");
    await page.waitForSelector(".read .token[class*=surprise]");
    assert.match((await page.locator(".read .figure").textContent())!, /^[\d.]+ perplexity, over/);
    await view(page, "attention");
    assert.equal(await page.locator(".attention .heads canvas").count(), 6 * 4);

    await view(page, "model");
    await page.getByRole("button", { name: "Run the self-test" }).click();
    await page.getByText("Passed: it writes what it wrote when it was made.").waitFor();
    assert.match(
      (await page.locator(".model-head").textContent())!,
      /this browser \(WebAssembly\)/,
    );
    assert.ok((await page.locator(".card-bytes").textContent())!.includes("attention"));
    assert.deepEqual(complaints, []);
  });
});

for (const look of LOOKS) {
  test(`every view is accessible and fits: ${look.name}`, async () => {
    const served = await host("portable");
    await visiting(
      served,
      async (page, { complaints }) => {
        await ready(page);
        await page.locator("#text").fill(score.prompt);
        for (const name of VIEWS) {
          await view(page, name);
          await assertAccessible(page, `${name}, ${look.name}`);
          await assertFits(page, `${name}, ${look.name}`);
          await page.screenshot({ path: `${SCREENSHOTS}/local-${name}-${look.name}.png` });
        }
        assert.deepEqual(complaints, []);
      },
      { look },
    );
  });
}

test("a second visit needs no network: the page, the model and the text are there", async () => {
  const served = await host("portable");
  await visiting(served, async (page, { complaints }) => {
    await ready(page);
    assertPythons(await optionsAfter(page, next.prompt));
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await served.close();
    await page.reload();
    await ready(page);
    assert.equal(await textOf(page), next.prompt);
    assertPythons(await optionsAfter(page, next.prompt));
    await view(page, "attention");
    // What is not there is asked for in vain, once, and no more is said about it.
    for (const said of complaints) assert.match(said, /manifest\.json|Failed to load resource/);
  });
});

for (const [broken, message] of [
  ["model.onnx", /model\.onnx: the server answered HTTP 503/],
  ["ort-wasm-simd-threaded.mjs", /model\.onnx cannot be loaded by onnxruntime-web/],
] as const) {
  test(`a load that fails for ${broken} is told, keeps the text, and is tried again`, async () => {
    const asked: string[] = [];
    let fails = true;
    const served = await host("portable", {
      onRequest(path) {
        const name = path.split("/").at(-1)!;
        asked.push(name);
        return fails && name === broken ? 503 : 200;
      },
    });
    await visiting(served, async (page) => {
      await page.locator("#text").fill(next.prompt);
      await page.getByRole("alert").getByText(message).waitFor();
      assert.equal(await textOf(page), next.prompt);
      fails = false;
      await page.getByRole("button", { name: "Try again" }).click();
      await ready(page);
      assertPythons(await optionsAfter(page, next.prompt));
      asked.length = 0;
      await page.reload();
      await ready(page);
      assertPythons(await optionsAfter(page, next.prompt));
      const large = /\.(onnx|wasm)$|^tokenizer\.json$/;
      assert.deepEqual(
        asked.filter((name) => large.test(name)),
        [],
      );
      assert.ok(asked.includes("manifest.json"), asked.join());
    });
  });
}

test("a worker that ends is followed by another one, with the same package", async () => {
  await visiting(await host("portable"), async (page) => {
    await ready(page);
    assertPythons(await optionsAfter(page, next.prompt));
    const worker = page.workers()[0]!;
    const ended = new Promise((resolve) => worker.on("close", resolve));
    await worker.evaluate(() => {
      setTimeout(() => {
        throw new Error("out of memory");
      });
    });
    await ended;
    await view(page, "attention");
  });
});

test("a package by its address, one that is none, and one from disk, which a reload finds", async () => {
  const served = await host("nothing");
  await visiting(
    served,
    async (page) => {
      await ready(page);
      assertPythons(await optionsAfter(page, next.prompt));
      await view(page, "model");
      assert.match((await page.locator(".model-head").textContent())!, /int4/);

      await page.locator("#model-address").fill("nowhere/");
      await page.keyboard.press("Enter");
      await page
        .getByRole("alert")
        .getByText(/nowhere\/ has no manifest\.json/)
        .waitFor();
      // The model that was there answers on.
      assertPythons(await optionsAfter(page, next.prompt));

      await view(page, "model");
      await page.locator("#model-folder").setInputFiles(`${PACKAGES}fp32`);
      await page.locator(".model-head .help").getByText(/^fp32/).waitFor();
      assertPythons(await optionsAfter(page, next.prompt));
      await page.reload();
      await view(page, "model");
      await page.locator(".model-head .help").getByText(/^fp32/).waitFor();

      await (await Drag.over(page, [`${PACKAGES}int8`], "#model-folder")).drop();
      await page.locator(".model-head .help").getByText(/^int8/).waitFor();
    },
    { query: "?package=/packages/portable/" },
  );
});
