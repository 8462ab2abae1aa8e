/** The demo page, as a hand on the mouse and one on the keyboard would use it. */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";

import type { Page } from "playwright-core";

import { serve, type Served } from "../scripts/static-server.js";
import { startBrowser, type Browser } from "./browser.js";
import { readExpected, serveAll, WEB } from "./support.js";

const { greedy, next } = readExpected().packages["int4"]!;
const SCREENSHOTS = `${WEB}build/screenshots`;
const WAIT = { timeout: 120_000 };
const READY = "#options button:enabled";

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

async function openDemo(query = "package=/packages/int4/"): Promise<Page> {
  browser.complaints.length = 0;
  const page = await browser.newPage(`${served.url}/demo/index.html?${query}`);
  await page.waitForSelector(READY, WAIT);
  return page;
}

const said = (page: Page, pattern: RegExp) =>
  page.waitForFunction(
    (source) => new RegExp(source).test(document.getElementById("status")!.textContent!),
    pattern.source,
    WAIT,
  );

/** Put `value` there, and wait for the options after it. */
async function fill(page: Page, value: string): Promise<void> {
  await page.locator("#text").fill(value);
  await page.waitForSelector("#options button:disabled");
  await page.waitForSelector(READY, WAIT);
}

async function openSettings(page: Page, values: Record<string, string>): Promise<void> {
  if (!(await page.locator("#temperature").isVisible())) await page.locator("summary").click();
  for (const [id, value] of Object.entries(values)) await page.locator(`#${id}`).fill(value);
}

test("the demo offers Python's next words, takes one, and takes it back", async () => {
  const page = await openDemo();
  const text = page.locator("#text");
  assert.match((await page.locator("#model").textContent())!, /^sample, int4, \d\.\d MB, on wasm$/);
  await fill(page, next.prompt);
  const [first] = next.tokens;
  const word = page.locator("#options .word").first();
  assert.equal(await word.textContent(), first!.text.replaceAll(" ", "·"));
  const percent = (await page.locator("#options .percent").first().textContent())!;
  assert.ok(Math.abs(parseFloat(percent) / 100 - first!.probability) < 0.05, percent);
  assert.equal(await page.locator("#options button").count(), 8);
  const label = `${first!.text.trim()}, ${percent}`;
  assert.equal(await page.getByRole("button", { name: label, exact: true }).count(), 1);

  await page.locator("#options button").first().click();
  assert.equal(await text.inputValue(), next.prompt + first!.text);
  await page.locator("#undo").click();
  assert.equal(await text.inputValue(), next.prompt);
  assert.deepEqual(browser.complaints, []);
  await page.close();
});

test("the demo writes Python's text, and fits a phone in the dark", async () => {
  const page = await openDemo();
  await openSettings(page, { temperature: "0", tokens: String(greedy.ids.length) });
  await page.locator("#text").fill(greedy.prompt);
  await page.locator("#write").click();
  await said(page, /ended by length$/);
  assert.equal(await page.locator("#text").inputValue(), greedy.prompt + greedy.text);
  assert.match(
    (await page.locator("#speed").textContent())!,
    /^\d+\.\d tokens\/s, the first after \d+\.\d\d s$/,
  );
  await page.waitForSelector(READY, WAIT);
  await page.screenshot({ path: `${SCREENSHOTS}/light.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${SCREENSHOTS}/dark.png`, fullPage: true });
  for (const width of [320, 360]) {
    await page.setViewportSize({ width, height: 740 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `the page is ${wide} wide on a phone of ${width}`);
  }
  await page.screenshot({ path: `${SCREENSHOTS}/phone-dark.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: "light" });
  await page.screenshot({ path: `${SCREENSHOTS}/phone-light.png`, fullPage: true });
  assert.deepEqual(browser.complaints, []);
  await page.close();
});

test("Stop ends a text, Undo takes all of it back, and a wrong setting is a line", async () => {
  const page = await openDemo();
  const text = page.locator("#text");
  await openSettings(page, { temperature: "0.9", tokens: "400" });
  await text.fill(greedy.prompt);
  await page.locator("#write").click();
  await page.waitForFunction(
    (length) => document.querySelector("textarea")!.value.length > length,
    greedy.prompt.length + 20,
    WAIT,
  );
  assert.equal(await page.locator("#write").isDisabled(), true);
  await page.locator("#stop").click();
  await said(page, /^\d+ tokens, ended by cancelled, seed \d+$/);
  assert.ok((await text.inputValue()).length > greedy.prompt.length + 20);
  await page.locator("#undo").click();
  assert.equal(await text.inputValue(), greedy.prompt);

  await page.locator("#temperature").fill("-1");
  await page.locator("#write").click();
  await said(page, /^temperature is -1; it must be a number, 0/);
  assert.equal(await page.locator("#write").isEnabled(), true);
  assert.deepEqual(browser.complaints, []);
  await page.close();
});

test("the keyboard alone writes, stops, and takes words; focus is never lost", async () => {
  const page = await openDemo();
  const focused = () => page.evaluate(() => document.activeElement!.id);
  await openSettings(page, { temperature: "0", tokens: "400" });
  await page.locator("#write").focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#write:disabled");
  assert.equal(await focused(), "stop");
  await page.keyboard.press("Escape");
  await said(page, /ended by cancelled$/);
  assert.equal(await focused(), "write");

  await page.locator("#text").focus();
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("#write:disabled");
  await page.keyboard.press("Escape");
  await page.waitForSelector(READY, WAIT);

  const before = await page.locator("#text").inputValue();
  await page.locator("#options button").first().focus();
  for (const taken of [1, 2]) {
    await page.keyboard.press("Enter");
    await page.waitForSelector(READY, WAIT);
    await page.waitForFunction(() => document.activeElement!.parentElement!.id === "options");
    const words = (await page.locator("#text").inputValue()).slice(before.length);
    assert.ok(words.length >= taken, words);
  }
  await page.close();
});

test("another package is loaded by its address; one that is not there is a line", async () => {
  const page = await openDemo("package=/packages/int4/&threads=1&provider=wasm");
  assert.equal(await page.locator("#provider").inputValue(), "wasm");
  await page.getByLabel("Package URL").fill("/packages/fp32/");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() =>
    /^sample, fp32/.test(document.getElementById("model")!.innerText),
  );
  await page.waitForSelector(READY, WAIT);
  await page.getByLabel("Package URL").fill("/packages/nothing/");
  await page.locator("#load").click();
  await said(page, /\/packages\/nothing\/ has no manifest.json \(HTTP 404\)/);
  assert.equal(await page.locator("#model").textContent(), "no package loaded");
  assert.equal(await page.locator("#write").isDisabled(), true);
  assert.equal(await page.locator("#options button").count(), 0);
  await page.close();
});

test("without isolation from other sites, several threads are refused in a line", async () => {
  const plain = await serve({ "/": WEB }, { isolated: false });
  const demo = `${plain.url}/demo/index.html?package=/build/packages/int4/`;
  const page = await browser.newPage(`${demo}&threads=2`);
  await said(page, /^threads is 2, but the page is not cross-origin isolated; serve it with/);
  await page.goto(demo);
  await page.waitForSelector(READY, WAIT);
  await page.close();
  await plain.close();
});
