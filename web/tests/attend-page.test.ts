/** The page that `gpt2-edge attend --html` writes, opened from disk. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import type { Page } from "playwright-core";

import { startBrowser, type Browser } from "./browser.js";
import { WEB } from "./support.js";

const AXE = `${WEB}node_modules/axe-core/axe.min.js`;

interface Attention {
  readonly tokens: { readonly text: string }[];
  /** Row q: the shares of tokens 0 to q. */
  readonly weights: number[][];
}

let browser: Browser;
before(async () => (browser = await startBrowser()));
after(() => browser.close());

const file = (name: string, kind: string) => `${WEB}build/packages/attention-${name}.${kind}`;

function attention(name: string): Attention {
  return JSON.parse(readFileSync(file(name, "json"), "utf8")) as Attention;
}

async function open(name: string): Promise<{ page: Page; requests: string[] }> {
  browser.complaints.length = 0;
  const requests: string[] = [];
  browser.context.removeAllListeners("request");
  browser.context.on("request", (request) => requests.push(request.url()));
  const page = await browser.newPage(pathToFileURL(file(name, "html")).href);
  await page.waitForSelector("#list tr");
  return { page, requests };
}

const caption = (page: Page) => page.locator("#caption").textContent();

/** What the table says of each token that it lists: its number and its percentage. */
async function listed(page: Page): Promise<[number, number][]> {
  const rows = await page.locator("#list tr").allTextContents();
  const cells = await page
    .locator("#list tr")
    .evaluateAll((all) => all.map((row) => (row as HTMLTableRowElement).cells[2]!.textContent!));
  return rows.map((row, i) => [Number(cells[i]), parseFloat(row.replace(/^[<>]/, ""))]);
}

test("the shares of the last token, the mean of all heads", async () => {
  const { tokens, weights } = attention("plain");
  const { page, requests } = await open("plain");
  const last = tokens.length - 1;
  assert.equal(await caption(page), `“${tokens[last]!.text}” (token ${last}) attends to`);
  const entries = await listed(page);
  assert.equal(entries.length, 10);
  for (const [number, percent] of entries) {
    assert.ok(Math.abs(percent - 100 * weights[last]![number]!) < 0.06, `${number}: ${percent}`);
  }
  const percents = entries.map(([, percent]) => percent);
  assert.deepEqual(
    percents,
    [...percents].sort((a, b) => b - a),
  );
  assert.equal(await page.locator("#text").textContent(), tokens.map((t) => t.text).join(""));
  assert.deepEqual(requests, [page.url()]);
  assert.deepEqual(browser.complaints, []);
  await page.close();
});

test("by mouse: pointing shows, leaving brings the chosen one back, a click chooses", async () => {
  const { tokens } = attention("plain");
  const { page } = await open("plain");
  const token = page.locator("#text [role=option]");
  const shade = (number: number) =>
    token.nth(number).evaluate((element) => Number(element.style.getPropertyValue("--share")) || 0);
  await token.nth(6).hover();
  assert.match((await caption(page))!, /\(token 6\)/);
  assert.equal(await shade(7), 0, "tokens behind it are not shaded");
  assert.ok((await shade(0)) > 0);
  await page.locator("h1").hover();
  assert.match((await caption(page))!, new RegExp(`\\(token ${tokens.length - 1}\\)`));
  await token.nth(3).click();
  await page.locator("h1").hover();
  assert.match((await caption(page))!, /\(token 3\)/);
  await page.close();
});

test("by keyboard alone: one stop, arrows, and the choices of layer and head", async () => {
  const { tokens } = attention("plain");
  const { page } = await open("plain");
  const last = tokens.length - 1;
  const press = (key: string) => page.keyboard.press(key);
  await press("Tab");
  await press("ArrowDown"); // layer 0
  await press("Tab");
  await press("ArrowDown"); // head 0
  await press("Tab");
  assert.match((await caption(page))!, new RegExp(`\\(token ${last}\\)`));
  for (const [key, expected] of [
    ["ArrowLeft", last - 1],
    ["ArrowUp", last - 2],
    ["ArrowRight", last - 1],
    ["Home", 0],
    ["ArrowLeft", 0],
    ["End", last],
    ["Home", 0],
  ] as const) {
    await press(key);
    assert.match((await caption(page))!, new RegExp(`\\(token ${expected}\\)`), key);
    assert.equal(await page.locator("[role=option]:focus").count(), 1);
    assert.equal(await page.locator("[role=option][tabindex='0']").count(), 1);
  }
  assert.deepEqual(await listed(page), [[0, 100]]);
  assert.equal(await page.locator("#layer").inputValue(), "0");
  assert.equal(await page.locator("#head").inputValue(), "0");
  await page.close();
});

test("layers and heads have shares of their own, which are 100% together", async () => {
  const { page } = await open("plain");
  await page.locator("#text [role=option]").nth(8).click();
  const seen = new Set<string>();
  for (const layer of ["", "0", "5"]) {
    for (const head of ["", "0", "3"]) {
      await page.locator("#layer").selectOption(layer);
      await page.locator("#head").selectOption(head);
      const entries = await listed(page);
      const total = entries.reduce((sum, [, percent]) => sum + percent, 0);
      assert.ok(Math.abs(total - 100) < 0.6, `${layer}, ${head}: ${total}`);
      seen.add(JSON.stringify(entries));
    }
  }
  assert.equal(seen.size, 9);
  await page.close();
});

test("a text of another's markup stays text", async () => {
  const { tokens } = attention("hostile");
  const { page, requests } = await open("hostile");
  const text = tokens.map((token) => token.text).join("");
  assert.equal(await page.locator("#text").textContent(), text.replaceAll("\n", "↵\n"));
  assert.match(text, /<\/script><img src=x onerror=alert\(1\)> @@DATA@@/);
  assert.equal(await page.locator("img").count(), 0);
  assert.deepEqual(requests, [page.url()]);
  assert.deepEqual(browser.complaints, []);
  await page.close();
});

test("light and dark, phone and desktop: nothing is cut off", async () => {
  const { page } = await open("plain");
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(paper, colorScheme === "light" ? "rgb(255, 255, 255)" : "rgb(22, 24, 29)");
    for (const width of [390, 1000]) {
      await page.setViewportSize({ width, height: 800 });
      const scrolled = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(scrolled <= width, `${scrolled} of ${width}`);
    }
  }
  await page.close();
});

test("axe finds nothing", { skip: !existsSync(AXE) && "axe-core is not installed" }, async () => {
  const { page } = await open("plain");
  const axe = readFileSync(AXE, "utf8");
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const layer of ["", "1", "3", "5"]) {
      await page.locator("#layer").selectOption(layer);
      for (const number of [0, 3, 8, 11]) {
        await page.locator("#text [role=option]").nth(number).click();
        await page.evaluate(axe); // past the page's policy, which lets in nothing
        const violations = await page.evaluate(async () => {
          const { axe: checker } = window as unknown as {
            axe: { run(): Promise<{ violations: { id: string }[] }> };
          };
          return (await checker.run()).violations.map((violation) => violation.id);
        });
        assert.deepEqual(violations, [], `${colorScheme}, layer ${layer}, token ${number}`);
      }
    }
  }
  await page.close();
});
