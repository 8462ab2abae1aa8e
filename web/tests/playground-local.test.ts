/**
 * The playground without a server of its own: the static build in Chromium, the model in a worker.
 * The text must outlive whatever goes wrong, and a second visit needs no network.
 */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { Page } from "playwright-core";

import { buildPlayground } from "../scripts/build-playground.js";
import { serve, type Served, type ServeOptions } from "../scripts/static-server.js";
import { startBrowser, type Browser } from "./browser.js";
import { PACKAGES, readExpected, WEB } from "./support.js";

const { packages } = readExpected();
const { next, score } = packages["portable"]!;
const SCREENSHOTS = `${WEB}build/screenshots`;
const WAIT = { timeout: 120_000 };
const VIEWS = ["write", "next", "read", "attention", "model"] as const;

let axe: string;
let folder: string;
before(async () => {
  axe = await readFile(join(WEB, "node_modules/axe-core/axe.min.js"), "utf8");
  folder = await mkdtemp(join(tmpdir(), "gpt2-edge-playground-"));
  await buildPlayground(join(folder, "page"));
  await mkdir(SCREENSHOTS, { recursive: true });
});
after(() => rm(folder, { recursive: true, force: true }));

/** The page in a subfolder of a plain static host, with a package beside it. */
function host(name: string, options: ServeOptions = {}): Promise<Served> {
  const folders = { "/some/where/": join(folder, "page"), "/some/where/package/": PACKAGES + name };
  return serve({ ...folders, "/packages/": PACKAGES }, { isolated: false, ...options });
}

/** A browser of its own for `work`: nothing is kept from another test. */
async function visiting(
  served: Served,
  work: (page: Page, browser: Browser) => Promise<void>,
  query = "",
): Promise<void> {
  const browser = await startBrowser();
  try {
    const page = await browser.newPage(`${served.url}/some/where/${query}`);
    page.setDefaultTimeout(WAIT.timeout);
    await work(page, browser);
  } finally {
    await browser.close();
    await served.close();
  }
}

async function show(page: Page, view: (typeof VIEWS)[number]): Promise<void> {
  await page.locator(`#tab-${view}`).click();
  await page.locator(`#view-${view}`).waitFor();
}

/** The words that are offered behind `text`. */
async function optionsAfter(page: Page, text: string): Promise<string[]> {
  await show(page, "next");
  await page.locator("#text").fill(text);
  await page.waitForFunction(
    () =>
      document.querySelector(".next .option:not([hidden])") &&
      !document.querySelector(".next")?.hasAttribute("aria-busy"),
  );
  return page.locator(".next .option:not([hidden]) .word").allTextContents();
}

/** Python's options: the likeliest may change places where rounding does. */
function assertPythons(words: readonly string[]): void {
  const expected = next.tokens.slice(0, 5).map(({ text }) => text.replaceAll(" ", "·"));
  for (const word of expected) assert.ok(words.includes(word), `${word} of ${words.join()}`);
}

async function assertAccessible(page: Page, where: string): Promise<void> {
  // The page's policy allows no script but its own; the browser's own hand is not bound by it.
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { axe: checker } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await checker.run(document);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
  assert.deepEqual(found, [], where);
}

test("all five views work in the browser alone, on a desktop", async () => {
  await visiting(await host("portable"), async (page, browser) => {
    assertPythons(await optionsAfter(page, next.prompt));
    await page.locator(".next .option").first().click();
    const text = page.locator("#text");
    assert.ok((await text.inputValue()).length > next.prompt.length);
    await page.getByRole("button", { name: "Undo" }).first().click();
    assert.equal(await text.inputValue(), next.prompt);

    await show(page, "write");
    await text.focus();
    await page.keyboard.press("Tab");
    await page.waitForSelector(".suggestions:not([hidden]):not(.is-waiting) [role=option]");
    const offered = await page.locator(".suggestions .words").allTextContents();
    assert.equal(offered.length, 3);
    await page.keyboard.press("2");
    const taken = await text.inputValue();
    assert.ok(taken.startsWith(next.prompt) && taken.length > next.prompt.length, taken);
    await page.keyboard.press("Control+z");
    assert.equal(await text.inputValue(), next.prompt);
    await page.keyboard.press("Control+Enter");
    await page.waitForFunction(
      (length) => document.querySelector("textarea")!.value.length > length + 5,
      next.prompt.length,
    );
    await page.keyboard.press("Escape");
    await page.waitForSelector(".write:not(.is-writing)");
    await page.keyboard.press("Control+z");
    assert.equal(await text.inputValue(), next.prompt);

    await text.fill(score.prompt);
    await show(page, "read");
    await page.waitForSelector(".read .token[class*=surprise]");
    assert.match((await page.locator(".read .figure").textContent())!, /^[\d.]+ perplexity, over/);
    await show(page, "attention");
    await page.waitForSelector(".attention .maps:not([hidden]) canvas");
    const heads = await page.locator(".attention .maps canvas").count();
    assert.equal(heads, 6 * 4);

    await show(page, "model");
    await page.getByRole("button", { name: "Run the self-test" }).click();
    await page.getByText("Passed: it writes what it wrote when it was made.").waitFor();
    assert.match(
      (await page.locator(".model-head").textContent())!,
      /this browser \(WebAssembly\)/,
    );
    assert.ok((await page.locator(".card-bytes").textContent())!.includes("attention"));
    assert.deepEqual(browser.complaints, []);
  });
});

test("no view breaks a rule of accessibility, light and dark, and each fits a phone", async () => {
  await visiting(await host("portable"), async (page, browser) => {
    await optionsAfter(page, score.prompt);
    for (const [size, width, height] of [
      ["desktop", 1280, 800],
      ["phone", 390, 844],
    ] as const) {
      await page.setViewportSize({ width, height });
      for (const view of VIEWS) {
        await show(page, view);
        if (view === "read") await page.waitForSelector(".read .token[class*=surprise]");
        if (view === "attention") await page.waitForSelector(".attention .maps:not([hidden])");
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          await assertAccessible(page, `${view}, ${size}, ${colorScheme}`);
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${view} is ${wide} wide on ${width}`);
        await page.screenshot({ path: `${SCREENSHOTS}/local-${view}-${size}.png` });
      }
    }
    assert.deepEqual(browser.complaints, []);
  });
});

test("a second visit needs no network: the page, the model and the text are there", async () => {
  const served = await host("portable");
  await visiting(served, async (page, browser) => {
    assertPythons(await optionsAfter(page, next.prompt));
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await served.close();
    await page.reload();
    await page.locator("#tab-next").waitFor();
    assert.equal(await page.locator("#text").inputValue(), next.prompt);
    assertPythons(await optionsAfter(page, next.prompt));
    await show(page, "attention");
    await page.waitForSelector(".attention .maps:not([hidden]) canvas");
    // What is not there is asked for in vain, once, and no more is said about it.
    for (const said of browser.complaints)
      assert.match(said, /manifest\.json|Failed to load resource/);
  });
});

test("a load that fails is told, keeps the text, and goes on where it was", async () => {
  const asked: string[] = [];
  let broken = true;
  const large = /\.(onnx|wasm)$|^tokenizer\.json$/;
  const served = await host("portable", {
    onRequest(path) {
      const name = path.split("/").at(-1)!;
      asked.push(name);
      return broken && name === "model.onnx" ? 503 : 200;
    },
  });
  await visiting(served, async (page) => {
    await page.locator("#text").fill(next.prompt);
    await page
      .getByRole("alert")
      .getByText(/model\.onnx: the server answered HTTP 503/)
      .waitFor();
    assert.equal(await page.locator("#text").inputValue(), next.prompt);
    broken = false;
    await page.getByRole("button", { name: "Try again" }).click();
    assertPythons(await optionsAfter(page, next.prompt));
    asked.length = 0;
    await page.reload();
    assertPythons(await optionsAfter(page, next.prompt));
    assert.deepEqual(
      asked.filter((name) => large.test(name)),
      [],
    );
    assert.ok(asked.includes("manifest.json"), asked.join());
  });
});

test("a package by its address, one that is none, and one from disk, which a reload finds", async () => {
  const served = await host("nothing");
  await visiting(
    served,
    async (page) => {
      assertPythons(await optionsAfter(page, next.prompt));
      await show(page, "model");
      assert.match((await page.locator(".model-head").textContent())!, /int4/);

      await page.locator("#model-address").fill("nowhere/");
      await page.keyboard.press("Enter");
      await page
        .getByRole("alert")
        .getByText(/nowhere\/ has no manifest\.json/)
        .waitFor();
      // The model that was there answers on.
      assertPythons(await optionsAfter(page, next.prompt));

      await show(page, "model");
      await page.locator("#model-folder").setInputFiles(`${PACKAGES}fp32`);
      await page.locator(".model-head .help").getByText(/^fp32/).waitFor();
      assertPythons(await optionsAfter(page, next.prompt));
      await page.reload();
      await show(page, "model");
      await page.locator(".model-head .help").getByText(/^fp32/).waitFor();
    },
    "?package=/packages/portable/",
  );
});
