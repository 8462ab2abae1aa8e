/** Everything on the page by the keyboard alone, and by touch alone, with both backends. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { Browser, Page } from "playwright-core";

import { buildPlayground } from "../scripts/build-playground.js";
import { serve, type Served } from "../scripts/static-server.js";
import {
  assertFits,
  continuations,
  focused,
  generated,
  LOOKS,
  ready,
  said,
  startChromium,
  textOf,
  visitor,
  type Look,
} from "./playground.js";
import { startServer, type ServerProcess } from "./server-process.js";
import { PACKAGES } from "./support.js";

const TEXT = "The old man sat by the fire and";
const BACKENDS = ["the server", "the browser alone"];

let browser: Browser;
let folder: string;
let server: ServerProcess;
let served: Served;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gpt2-edge-hands-"));
  await buildPlayground(folder);
  served = await serve({ "/": folder, "/package/": `${PACKAGES}portable` }, { isolated: false });
  server = await startServer("int4");
  browser = await startChromium();
});
after(async () => {
  await browser?.close();
  await server?.kill();
  await served?.close();
  await rm(folder, { recursive: true, force: true });
});

async function visiting(
  backend: string,
  look: Look,
  work: (page: Page) => Promise<void>,
): Promise<void> {
  const guest = await visitor(browser, look);
  try {
    const page = await guest.open(backend === BACKENDS[0] ? server.url : `${served.url}/`);
    await ready(page);
    await work(page);
    assert.deepEqual(guest.complaints, []);
  } finally {
    await guest.close();
  }
}

const clipboard = (page: Page) => page.evaluate(() => navigator.clipboard.readText());
const weights = (page: Page) =>
  page.evaluate(() =>
    Array.from(document.querySelectorAll<HTMLElement>(".attention .token"), (token) =>
      token.style.getPropertyValue("--weight"),
    ).join(),
  );
/** The likeliest words, once they are those of the text there is. */
async function options(page: Page): Promise<string[]> {
  await page.locator(".next:not([aria-busy]) .option .word:not(:empty)").first().waitFor();
  return page.locator(".option:not([hidden]) .word").allTextContents();
}
const busy = ".write.is-writing";

/** Presses Tab until the focus is on what has this id, class or name. */
async function tabTo(page: Page, target: string): Promise<void> {
  const at = (): Promise<boolean> =>
    page.evaluate((wanted) => {
      const { id, className, ariaLabel, textContent } = document.activeElement!;
      return [id, className, ariaLabel, textContent!.trim()].includes(wanted);
    }, target);
  for (let i = 0; i < 100; i += 1) {
    if (await at()) return;
    if ((await focused(page)) === "text") await page.keyboard.press("Escape"); // Tab leaves it then
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab does not reach ${target}`);
}

for (const backend of BACKENDS) {
  test(`by the keyboard alone, with ${backend}`, async () => {
    await visiting(backend, LOOKS[0]!, async (page) => {
      const { keyboard } = page;
      await tabTo(page, "text");
      await keyboard.type(TEXT);
      await keyboard.press("Tab");
      const first = await continuations(page);
      await keyboard.press("Tab");
      await page.waitForFunction(
        (old) => document.querySelector("#continuations .words")!.textContent !== old,
        first[0]!,
      );
      const [, second] = await continuations(page);
      await keyboard.press("ArrowUp");
      await keyboard.press("ArrowUp");
      await keyboard.press("Enter");
      const taken = await textOf(page);
      assert.equal(taken.replace(/\n/g, " ↵ "), TEXT + second);
      assert.equal(await generated(page), taken.slice(TEXT.length));
      await keyboard.press("Control+z");
      assert.equal(await textOf(page), TEXT);

      await tabTo(page, "How to write");
      await keyboard.press("Enter");
      await tabTo(page, "write-length");
      await keyboard.press("End");
      assert.equal(
        await page.locator("#write-length").getAttribute("aria-valuetext"),
        "400 tokens",
      );
      await tabTo(page, "text");
      await keyboard.press("Control+Enter");
      await page.waitForFunction(
        (length) => document.querySelector("textarea")!.value.length > length,
        TEXT.length,
      );
      await keyboard.press("Escape");
      await page.locator(busy).waitFor({ state: "detached" });
      assert.equal(await focused(page), "text");
      await keyboard.press("Control+z");
      assert.equal(await textOf(page), TEXT);

      await tabTo(page, "tab-write");
      await keyboard.press("ArrowRight");
      const [word] = await options(page);
      await keyboard.press("1");
      assert.equal(await textOf(page), TEXT + word!.replaceAll("·", " "));
      await keyboard.press("u");
      assert.equal(await textOf(page), TEXT);
      await options(page);
      const seed = await page.locator("#next-seed").inputValue();
      await keyboard.press("r");
      assert.notEqual(await page.locator("#next-seed").inputValue(), seed);
      await options(page);
      await tabTo(page, "next-topK");
      await keyboard.press("Home");
      await page.locator(".option.is-cut").nth(8).waitFor();
      await options(page);
      await keyboard.press("0");
      assert.equal(await textOf(page), TEXT + word!.replaceAll("·", " "));
      await keyboard.press("Control+z");
      await options(page);

      await tabTo(page, "tab-next");
      await keyboard.press("ArrowRight");
      await page.locator(".read:not([aria-busy]) .token[class*=surprise]").first().waitFor();
      await tabTo(page, "Tokens of your text");
      await keyboard.press("Home");
      await keyboard.press("ArrowRight");
      assert.match(await page.locator(".read .details").innerText(), /%\s+rank/);
      assert.equal(await page.locator(".read .alternatives li").count(), 5);
      await keyboard.press("Shift+End");
      await page.locator(".figure-more", { hasText: "in the selection" }).waitFor();

      await tabTo(page, "tab-read");
      await keyboard.press("ArrowRight");
      await page.locator(".attention:not([aria-busy]) .heads button").first().waitFor();
      await tabTo(page, "Tokens");
      await keyboard.press("End");
      const mean = await weights(page);
      await keyboard.press("ArrowLeft");
      assert.notEqual(await weights(page), mean);
      await keyboard.press("End");
      await tabTo(page, "layer");
      await keyboard.press("ArrowDown");
      const layer = await weights(page);
      assert.notEqual(layer, mean);
      await tabTo(page, "head");
      await keyboard.press("ArrowDown");
      assert.notEqual(await weights(page), layer);
      await tabTo(page, "skip-first");
      await keyboard.press("Space");
      await tabTo(page, "Layer 1, head 1");
      await keyboard.press("ArrowDown");
      await keyboard.press("Enter");
      assert.equal(await page.locator("#layer").inputValue(), "1");
      await tabTo(page, "Show the example");
      await keyboard.press("Enter");
      await page.locator(".attention .token", { hasText: "animal" }).waitFor();

      await tabTo(page, "tab-attention");
      await keyboard.press("End");
      await tabTo(page, "Measure");
      await keyboard.press("Enter");
      await page.getByText(/tokens per second; the first after \d+ ms/).waitFor();
      await tabTo(page, "Run the self-test");
      await keyboard.press("Enter");
      await page.getByText(/^ ?Passed/).waitFor();

      await tabTo(page, "Copy the text");
      await keyboard.press("Enter");
      await said(page, /^Copied/);
      assert.equal(await clipboard(page), TEXT);
      await tabTo(page, "Share as a link");
      await keyboard.press("Enter");
      await said(page, /^Link copied/);
      assert.match(await clipboard(page), /#text=The\+old.*&seed=\d+$/);
      await tabTo(page, "Dark colours");
      await keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.documentElement.dataset["theme"]), "dark");
      await tabTo(page, "Earlier texts");
      await keyboard.press("Enter");
      await tabTo(page, "Begin a new text");
      await keyboard.press("Escape");
      await page.locator("dialog").waitFor({ state: "detached" });
      await tabTo(page, "tab-model");
      await keyboard.press("Home");
      assert.equal(await focused(page), "tab-write");
      assert.equal(await textOf(page), TEXT);
    });
  });

  test(`by touch alone on a phone, with ${backend}`, async () => {
    await visiting(backend, LOOKS[3]!, async (page) => {
      const tap = (name: string) => page.getByRole("button", { name, exact: true }).tap();
      const fits = (where: string) => assertFits(page, `${where}, ${backend}`);
      await tap("Once upon a time, in a house by the sea,…");
      const start = "Once upon a time, in a house by the sea,";
      await continuations(page);
      await fits("continuations");
      await page.locator("#continuation-2").tap();
      assert.ok((await generated(page)).length > 1);
      await tap("Undo");
      assert.equal(await textOf(page), start);
      await tap("Redo");
      assert.equal(await textOf(page), start + (await generated(page)));
      await tap("Undo");
      await tap("Suggest");
      const first = await continuations(page);
      await tap("Others");
      await page.waitForFunction(
        (old) => document.querySelector("#continuations .words")!.textContent !== old,
        first[0]!,
      );
      await continuations(page);
      await tap("None");
      await page.locator("#continuations").waitFor({ state: "hidden" });
      assert.equal(await textOf(page), start);
      await tap("Write on");
      await page.waitForFunction(
        (length) => document.querySelector("textarea")!.value.length > length,
        start.length,
      );
      // Its own end may come first.
      await page.locator(".dock button").nth(1).tap();
      await said(page, /^(Stopped|Writing|Wrote)/);
      await page.locator("#text").tap();
      await tap("How to write");
      await fits("settings");
      await tap("Model’s own");
      await tap("Another seed");
      await tap("How to write");

      await page.locator("#tab-next").tap();
      await options(page);
      const before = await textOf(page);
      await page.locator(".option").nth(1).tap();
      await options(page);
      assert.ok((await textOf(page)).length > before.length);
      await page.locator(".next .actions").getByRole("button", { name: "Undo" }).tap();
      assert.equal(await textOf(page), before);
      await options(page);
      await tap("Roll again");
      await options(page);
      await fits("next");

      await page.locator("#tab-read").tap();
      await page.locator(".read:not([aria-busy]) .token[class*=surprise]").first().waitFor();
      await page.locator(".read .token").nth(4).tap();
      assert.match(await page.locator(".read .details").innerText(), /%/);
      await fits("read");

      await page.locator("#tab-attention").tap();
      await page.locator(".attention:not([aria-busy]) .heads button").first().waitFor();
      await page.locator(".attention .token").nth(5).tap();
      const mean = await weights(page);
      await page.locator(".heads button").nth(5).tap();
      assert.notEqual(await weights(page), mean);
      await page.locator("label", { hasText: "Leave out" }).tap();
      assert.equal(await page.locator("#skip-first").isChecked(), false);
      await tap("Show the example");
      await page.locator(".attention .token", { hasText: "animal" }).waitFor();
      await fits("attention");

      await page.locator("#tab-model").tap();
      await tap("Run the self-test");
      await page.getByText(/^ ?Passed/).waitFor();
      await fits("model");
      await tap("Copy the text");
      await said(page, /^Copied/);
      assert.equal(await clipboard(page), before);
      await tap("Light colours");
      assert.equal(await page.evaluate(() => document.documentElement.dataset["theme"]), "light");
      await tap("Earlier texts");
      await tap("Begin a new text");
      await page.waitForFunction(() => document.querySelector("textarea")?.value === "");
    });
  });
}
