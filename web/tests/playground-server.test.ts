/** The playground over `gpt2-edge serve`: five views of one text, and what must not be lost. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import type { Browser, Page } from "playwright-core";

import {
  assertAccessible,
  assertFits,
  assertTouchable,
  continuations,
  Drag,
  focused,
  generated,
  kept,
  LOOKS,
  ready,
  said,
  SCREENSHOTS,
  startChromium,
  textOf,
  view,
  visitor,
  WAIT,
  type Visitor,
} from "./playground.js";
import { startRelay } from "./relay.js";
import { startServer, type ServerProcess } from "./server-process.js";
import { PACKAGES } from "./support.js";

const TEXT =
  "Once upon a time there was an old man who lived by the sea.\n\nOne night he heard a voice, and";
const VIEWS = ["write", "next", "read", "attention", "model"];
const PHONE = LOOKS[2]!;

let server: ServerProcess;
let browser: Browser;
before(async () => {
  server = await startServer("int4");
  browser = await startChromium();
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

/** A visit with `text` in the page. */
async function visit(text = TEXT, look = LOOKS[0]!): Promise<{ page: Page; guest: Visitor }> {
  const guest = await visitor(browser, look);
  const page = await guest.open(server.url);
  await ready(page);
  if (text) await page.locator("#text").fill(text);
  return { page, guest };
}

async function leave({ complaints, close }: Visitor): Promise<void> {
  assert.deepEqual(complaints, []);
  await close();
}

for (const look of LOOKS) {
  test(`every view is accessible, fits and is seen: ${look.name}`, async () => {
    const { page, guest } = await visit("", look);
    await assertAccessible(page, `empty, ${look.name}`);
    await page.locator("#text").fill(TEXT);
    await page.locator("#text").press("Tab");
    await continuations(page);
    await assertAccessible(page, `continuations, ${look.name}`);
    await page.screenshot({ path: `${SCREENSHOTS}/write-${look.name}.png` });
    await page.locator("#text").press("2");
    for (const name of VIEWS) {
      await view(page, name);
      await assertAccessible(page, `${name}, ${look.name}`);
      await assertFits(page, `${name}, ${look.name}`);
      if (look.phone) await assertTouchable(page, `${name}, ${look.name}`);
      if (name === "write") continue;
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: `${SCREENSHOTS}/${name}-${look.name}.png` });
    }
    await page.locator("#tab-write").click();
    await page.getByRole("button", { name: "How to write" }).click();
    await assertAccessible(page, `settings, ${look.name}`);
    await page.getByRole("button", { name: "Earlier texts" }).click();
    await assertAccessible(page, `texts, ${look.name}`);
    await leave(guest);
  });
}

test("Write: Tab brings three ways on; one is taken, marked, taken back and brought again", async () => {
  const { page, guest } = await visit();
  const text = page.locator("#text");
  await text.press("Tab");
  const first = await continuations(page);
  assert.equal(first.length, 3);
  assert.ok(
    first.every((words) => words.trim().length > 1),
    first.join("|"),
  );

  await text.press("Tab");
  await page.waitForFunction(
    (old) => document.querySelector("#continuations .words")!.textContent !== old,
    first[0]!,
  );
  const second = await continuations(page);
  assert.notDeepEqual(second, first);
  assert.equal(await text.getAttribute("aria-activedescendant"), "continuation-1");
  await text.press("ArrowDown");
  assert.equal(await text.getAttribute("aria-activedescendant"), "continuation-2");
  await text.press("Enter");
  const taken = await textOf(page);
  assert.ok(taken.startsWith(TEXT) && taken.length > TEXT.length);
  assert.equal(await generated(page), taken.slice(TEXT.length));
  assert.equal(taken.slice(TEXT.length).trim(), second[1]!.replaceAll(" ↵ ", "\n").trim());

  await text.press("End");
  await page.keyboard.type(" mine");
  await text.press("Control+z");
  await text.press("Control+z");
  assert.equal(await textOf(page), TEXT);
  await text.press("Control+Shift+z");
  assert.equal(await textOf(page), taken);
  await text.press("Control+y");
  assert.equal(await textOf(page), `${taken} mine`);
  assert.equal(await generated(page), taken.slice(TEXT.length));

  await text.press("Tab");
  await continuations(page);
  await text.press("Escape");
  assert.equal(await page.locator("#continuations").isVisible(), false);
  assert.equal(await textOf(page), `${taken} mine`);
  await leave(guest);
});

test("Write: a continuation goes where the caret is", async () => {
  const { page, guest } = await visit("The old man was tired. The end.");
  await page.evaluate(() => {
    const area = document.querySelector("textarea")!;
    area.focus();
    area.setSelectionRange(22, 22);
  });
  await page.keyboard.press("Tab");
  await continuations(page);
  await page.keyboard.press("1");
  const text = await textOf(page);
  assert.ok(text.startsWith("The old man was tired.") && text.endsWith(" The end."), text);
  assert.ok(text.length > "The old man was tired. The end.".length);
  await leave(guest);
});

test("Write on streams; Stop, and typing, keep what was written; Undo takes all of it back", async () => {
  const { page, guest } = await visit();
  const text = page.locator("#text");
  const longer = (than: number) =>
    page.waitForFunction((n) => document.querySelector("textarea")!.value.length > n, than, WAIT);
  // Longer than any wait of this test: what is stopped must not have ended by itself.
  await page.route("**/v1/completions", (route) => {
    const asked = route.request().postDataJSON() as Record<string, unknown>;
    const postData = JSON.stringify({ ...asked, max_tokens: 60_000, ignore_eos: true });
    return route.continue({ postData });
  });
  await page.getByRole("button", { name: "How to write" }).click();
  await text.press("Control+Enter");
  await longer(TEXT.length + 10);
  await text.press("Escape");
  await said(page, /^Stopped/);
  const stopped = await textOf(page);
  assert.equal(await generated(page), stopped.slice(TEXT.length));
  await text.press("Control+z");
  assert.equal(await textOf(page), TEXT);
  await text.press("Control+y");
  assert.equal(await textOf(page), stopped);

  await page.getByRole("button", { name: "Write on" }).click();
  await longer(stopped.length + 10);
  await text.press("Control+End");
  await page.keyboard.type("X");
  await page.getByRole("button", { name: "Write on" }).waitFor();
  const mine = await textOf(page);
  assert.ok(mine.endsWith("X") && mine.startsWith(stopped), `${stopped}\n---\n${mine}`);
  assert.equal(await generated(page), mine.slice(TEXT.length, -1)); // which may have an X of its own

  await page.unroute("**/v1/completions");
  await page.locator("#write-length").fill("10");
  await page.getByRole("button", { name: "Write on" }).click();
  await said(page, /^Wrote \d+ words?\.$/);
  await leave(guest);
});

test("a page that draws more slowly than the model writes still hears Escape", async () => {
  const { page, guest } = await visit(`${TEXT} `.repeat(100));
  const text = page.locator("#text");
  await page.route("**/v1/completions", (route) => {
    const asked = route.request().postDataJSON() as Record<string, unknown>;
    const postData = JSON.stringify({ ...asked, max_tokens: 60_000, ignore_eos: true });
    return route.continue({ postData });
  });
  const cdp = await guest.context.newCDPSession(page);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate: 20 });
  const before = (await textOf(page)).length;
  await text.press("Control+Enter");
  await page.waitForFunction(
    (n) => document.querySelector("textarea")!.value.length > n,
    before,
    WAIT,
  );
  await text.press("Escape");
  await said(page, /^Stopped/);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate: 1 });
  const written = await generated(page);
  assert.ok(written.length > 0);
  assert.equal(written, (await textOf(page)).slice(before));
  await leave(guest);
});

test("Next word: percentages, settings that cut, the die, keys, and Undo", async () => {
  const { page, guest } = await visit();
  await view(page, "next");
  const options = page.locator(".option:visible");
  assert.equal(await options.count(), 10);
  const shares = await page.locator(".option .percent").allTextContents();
  assert.ok(
    shares.every((share) => /^(\d+\.\d%|>99\.9%|<0\.1%|cut)$/.test(share)),
    shares.join(" "),
  );
  assert.ok((await page.locator(".option.is-drawn").count()) <= 1);

  const word = (await page.locator(".option .word").first().textContent())!.replaceAll("·", " ");
  await options.first().click();
  assert.equal(await textOf(page), TEXT + word);
  assert.equal(await generated(page), word);
  await said(page, /^Took /);
  await page.keyboard.press("u");
  assert.equal(await textOf(page), TEXT);

  await page.locator("#next-temperature").fill("0");
  await page.waitForFunction(
    () => document.querySelectorAll(".option.is-cut").length === 9,
    undefined,
    WAIT,
  );
  assert.equal(await page.locator(".option .percent").first().textContent(), ">99.9%");
  assert.equal(await page.locator(".option.is-drawn").count(), 1);
  assert.match((await options.nth(1).locator(".hidden").textContent())!, /, cut by the settings$/);
  await page.getByRole("button", { name: "Model’s own" }).click();
  await page.waitForFunction(() => !document.querySelector(".option.is-cut"), undefined, WAIT);

  await page.locator("#next-topK").fill("2");
  await page.waitForFunction(
    () => document.querySelectorAll(".option.is-cut").length === 7,
    undefined,
    WAIT,
  );
  const third = (await page.locator(".option .word").nth(2).textContent())!.replaceAll("·", " ");
  await page.locator("#tab-next").focus();
  await page.keyboard.press("3");
  assert.equal(await textOf(page), TEXT + third);
  await page.waitForFunction(
    () => document.querySelector(".next:not([aria-busy]) .drawn-word")?.textContent,
  );
  await said(page, /^Took /);
  await leave(guest);
});

test("Read: every token has a colour and figures; a selection has a perplexity of its own", async () => {
  const { page, guest } = await visit();
  await view(page, "read");
  const tokens = page.locator("#view-read .token");
  const letters = await tokens.locator(".face").allTextContents();
  assert.equal(letters.join("").replace(/\s/g, ""), TEXT.replace(/\s/g, ""));
  assert.equal(
    await page.locator("#view-read .token[class*=surprise]").count(),
    (await tokens.count()) - 1,
  );
  assert.match(
    (await page.locator(".figure").textContent())!,
    /^\d+\.\d perplexity, over \d+ tokens$/,
  );

  await tokens.nth(3).hover();
  assert.match(
    await page.locator("#view-read .details").innerText(),
    /%\s+rank [\d,]+ · \d+\.\d bits/,
  );
  assert.equal(await page.locator("#view-read .alternatives li").count(), 5);

  await page.locator("#view-read [role=listbox]").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  assert.match(
    (await page.locator(".figure-more").textContent())!,
    /^\d+\.\d in the selection, 3 tokens$/,
  );
  const active = await page
    .locator("#view-read [role=listbox]")
    .getAttribute("aria-activedescendant");
  assert.equal(active, "read-3");

  const [from, to] = [await tokens.nth(5).boundingBox(), await tokens.nth(8).boundingBox()];
  await page.mouse.move(from!.x + from!.width / 2, from!.y + from!.height / 2);
  await page.mouse.down();
  await page.mouse.move(to!.x + to!.width / 2, to!.y + to!.height / 2, { steps: 5 });
  await page.mouse.up();
  await page.locator(".figure-more", { hasText: /in the selection, 4 tokens$/ }).waitFor();
  assert.equal(await page.locator("#view-read .is-chosen").count(), 4);
  assert.match((await tokens.nth(3).getAttribute("aria-label"))!, /%, rank \d+; likeliest: /);
  await leave(guest);
});

for (const look of [LOOKS[0]!, LOOKS[1]!])
  test(`Read: a token of which nothing is seen has a name, too: ${look.name}`, async () => {
    const { page, guest } = await visit("Yes\n\n\n no  \u00a0\u200b\ufe0f\tx\u2003\r\n", look);
    await view(page, "read");
    const tokens = page.locator("#view-read .token");
    await page.locator("#view-read [role=listbox]").focus();
    await page.keyboard.press("Home");
    for (let i = 0; i < (await tokens.count()); i += 1) {
      await assertAccessible(page, `token ${i}`);
      await page.keyboard.press("ArrowRight");
    }
    await leave(guest);
  });

test("Read: an answer that comes too late is not shown; after a failure nothing is busy", async () => {
  const { page, guest } = await visit();
  await page.locator("#text").press("End");
  await page.keyboard.type(" more");
  await view(page, "read");
  const shown = () => page.locator(".read .token").allTextContents();
  const before = await shown();
  assert.match(before.at(-1)!, /more/);

  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/score", async (route) => {
    await held;
    await route.continue().catch(() => {}); // the page may have stopped it
  });
  const asked = page.waitForRequest("**/score");
  await page.keyboard.press("Control+z");
  await asked;
  await page.keyboard.press("Control+y");
  await page.waitForFunction(() => !document.querySelector(".read[aria-busy]"), undefined, WAIT);
  release();
  await page.unrouteAll({ behavior: "wait" });
  assert.deepEqual(await shown(), before);
  assert.deepEqual(guest.complaints, []);

  await page.route("**/score", (route) => route.fulfill({ status: 429, body: "" }));
  await page.keyboard.press("Control+z");
  await page.locator("#notice").getByText("The server is busy.").waitFor();
  assert.equal(await page.locator(".read").getAttribute("aria-busy"), null);
  await guest.close();
});

test("Attention: opens with the example; a token's weights sum to one; heads are chosen", async () => {
  const { page, guest } = await visit("");
  await view(page, "attention");
  const line = await page.locator("#view-attention .tokens").textContent();
  assert.equal(line, "The animal didn't cross the street because it was too tired");
  assert.equal(await page.locator("#view-attention .token-title").textContent(), "·it");
  const weights = () =>
    page.evaluate(() =>
      Array.from(document.querySelectorAll<HTMLElement>("#view-attention .token"), (token) =>
        Number(token.style.getPropertyValue("--weight")),
      ),
    );
  const mean = await weights();
  assert.equal(Math.max(...mean), 1);
  assert.equal(mean[0], 0);
  assert.ok(
    mean.slice(-3).every((weight) => weight === 0),
    "later tokens are not looked at",
  );

  await page.locator("#view-attention .token").nth(4).hover();
  const hovered = await weights();
  assert.notDeepEqual(hovered, mean);
  assert.ok(hovered.slice(5).every((weight) => weight === 0));
  await page.locator(".brand").hover();
  assert.deepEqual(await weights(), mean);

  assert.equal(await page.locator(".heads button").count(), 24);
  await page.getByRole("button", { name: "Layer 3, head 2", exact: true }).click();
  assert.equal(await page.locator("#layer").inputValue(), "2");
  assert.equal(await page.locator("#head").inputValue(), "1");
  assert.notDeepEqual(await weights(), mean);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#head").inputValue(), "2");
  const drawn = await page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>(".heads canvas")!;
    return canvas
      .getContext("2d")!
      .getImageData(0, 0, canvas.width, canvas.height)
      .data.some(Boolean);
  });
  assert.ok(drawn);
  await page.locator("#layer").selectOption({ label: "mean of all" });
  await page.locator("#head").selectOption({ label: "mean of all" });
  assert.deepEqual(await weights(), mean);

  await page.locator("#tab-write").click();
  await page.locator("#text").fill(TEXT);
  await page.locator("#tab-attention").click();
  await page.waitForFunction(
    (length) => document.querySelector("#view-attention .tokens")!.textContent!.length === length,
    TEXT.length,
    WAIT,
  );
  await leave(guest);
});

test("Model: sizes, what quantization cost, speed and the self-test", async () => {
  const { page, guest } = await visit();
  await view(page, "model");
  const shown = await page.locator("#view-model").innerText();
  assert.match(shown, /int4/);
  assert.match(shown, /512 tokens/);
  assert.equal(
    await page
      .locator(".hash")
      .first()
      .innerText()
      .then((hash) => hash.length),
    64,
  );
  assert.ok((await page.locator(".house").count()) >= 3);
  await page.getByRole("button", { name: "Measure" }).click();
  await page.getByText(/tokens per second; the first after \d+ ms/).waitFor(WAIT);
  await page.getByRole("button", { name: "Run the self-test" }).click();
  await page.getByText(/^ ?Passed/).waitFor(WAIT);
  await leave(guest);
});

test("Model: speed and self-test leave each other alone, and say so when there is no answer", async () => {
  const { page, guest } = await visit();
  await view(page, "model");
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/v1/completions", async (route) => {
    await held;
    await route.continue().catch(() => {});
  });
  await page.getByRole("button", { name: "Measure" }).click();
  await page.getByRole("button", { name: "Run the self-test" }).click();
  await page.getByText(/^ ?Passed/).waitFor(WAIT);
  release();
  await page.getByText(/tokens per second; the first after \d+ ms/).waitFor(WAIT);
  await page.unrouteAll({ behavior: "wait" });
  await page.route("**/v1/completions", (route) => route.fulfill({ status: 429, body: "" }));
  await page.getByRole("button", { name: "Measure" }).click();
  await page.locator("#notice").getByText("The server is busy.").waitFor();
  await page.getByText("Not measured yet.").waitFor();
  await guest.close();
});

test("a connection that ends when it is used is followed by another one", async () => {
  const { page, guest } = await visit();
  let asked = 0;
  await page.route("**/next", (route) => {
    asked += 1;
    return asked === 1 ? route.abort("connectionreset") : route.continue();
  });
  await view(page, "next");
  assert.equal(asked, 2);
  assert.equal(await page.locator("#notice").isVisible(), false);
  await guest.close();
});

test("Write: what is tried again goes on from where the caret is by then", async () => {
  const { page, guest } = await visit("The old man was tired. The end.");
  const text = page.locator("#text");
  await text.evaluate((area: HTMLTextAreaElement) => {
    area.focus();
    area.setSelectionRange(22, 22);
  });
  await page.route("**/v1/completions", (route) => route.fulfill({ status: 429, body: "" }));
  await text.press("Tab");
  const again = page.getByRole("button", { name: "Try again" });
  await again.waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await text.press("Control+End");
  const asked = page.waitForRequest("**/v1/completions");
  await again.click();
  assert.equal((await asked).postDataJSON().prompt, "The old man was tired. The end.");
  await continuations(page);
  await guest.close();
});

test("by the keyboard alone: all views, continuations, words, tokens, heads, and out again", async () => {
  const { page, guest } = await visit("");
  const tabTo = async (id: string) => {
    for (let i = 0; i < 60 && (await focused(page)) !== id; i += 1)
      await page.keyboard.press("Tab");
    assert.equal(await focused(page), id);
  };
  await tabTo("text");
  await page.keyboard.type("The old man");
  await page.keyboard.press("Tab");
  await continuations(page);
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "text");
  assert.ok((await textOf(page)).length > "The old man".length);
  await page.keyboard.press("Escape");
  await said(page, /^Tab now leaves/);
  await page.keyboard.press("Tab");
  assert.notEqual(await focused(page), "text");

  await page.locator("#tab-write").focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await focused(page), "tab-next");
  await page.locator(".next:not([aria-busy]) .option .word:not(:empty)").first().waitFor();
  const before = await textOf(page);
  await page.keyboard.press("1");
  assert.ok((await textOf(page)).length > before.length);
  await page.keyboard.press("u");
  assert.equal(await textOf(page), before);

  await page.keyboard.press("ArrowRight");
  await page.locator("#view-read .token").first().waitFor();
  await page.keyboard.press("ArrowRight");
  await page.locator(".heads button").first().waitFor();
  await tabTo("layer");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.locator("#layer").inputValue(), "0");
  await page.locator("#tab-attention").focus();
  await page.keyboard.press("End");
  assert.equal(await focused(page), "tab-model");
  await page.keyboard.press("Home");
  assert.equal(await focused(page), "tab-write");
  await leave(guest);
});

test("by touch alone, on a phone", async () => {
  const { page, guest } = await visit(TEXT, PHONE);
  await page.locator("#text").tap();
  await page.getByRole("button", { name: "Suggest" }).tap();
  await continuations(page);
  await page.locator("#continuation-3").tap();
  assert.ok((await textOf(page)).length > TEXT.length);
  assert.equal(await focused(page), "text");
  await page.getByRole("button", { name: "Undo" }).first().tap();
  assert.equal(await textOf(page), TEXT);
  await page.locator("#tab-next").tap();
  await page.locator(".next:not([aria-busy]) .option .word:not(:empty)").first().waitFor();
  await page.locator(".option").first().tap();
  assert.ok((await textOf(page)).length > TEXT.length);
  await page.locator("#tab-read").tap();
  await page.locator("#view-read .token").nth(4).tap();
  assert.match(await page.locator("#view-read .details").innerText(), /%/);
  await page.locator("#tab-attention").tap();
  await page.locator("#view-attention .token").nth(2).tap();
  assert.match(await page.locator("#view-attention .details").innerText(), /looks at/);
  await page.locator(".heads button").nth(5).tap();
  assert.equal(await page.locator("#layer").inputValue(), "1");
  await leave(guest);
});

test("a reload, and another visit, find the text, its marks and its history", async () => {
  const { page, guest } = await visit();
  await page.locator("#text").press("Tab");
  await continuations(page);
  await page.keyboard.press("1");
  const text = await textOf(page);
  await page.reload();
  await ready(page);
  assert.equal(await textOf(page), text);
  assert.equal(await generated(page), text.slice(TEXT.length));
  await page.keyboard.press("Control+z");
  assert.equal(await textOf(page), TEXT);
  await kept(page, TEXT);
  await page.goto(`${server.url}icon.svg`);
  await page.waitForFunction(async () => (await navigator.locks.query()).held!.length === 0);
  const again = await guest.open(server.url);
  await ready(again);
  assert.equal(await textOf(again), TEXT);
  await again.keyboard.press("Control+y");
  assert.equal(await textOf(again), text);
  await leave(guest);
});

test("two tabs have a text each; both are there later", async () => {
  const { page, guest } = await visit("The text of the first tab");
  const second = await guest.open(server.url);
  assert.equal(await textOf(second), "");
  await second.locator("#text").fill("The text of the second tab");
  await page.locator("#text").press("End");
  await page.keyboard.type(" goes on");
  await second.reload();
  await page.reload();
  assert.equal(await textOf(second), "The text of the second tab");
  assert.equal(await textOf(page), "The text of the first tab goes on");
  await page.getByRole("button", { name: "Earlier texts" }).click();
  await page.getByRole("button", { name: /^The text of the second tab/ }).click();
  await page.waitForFunction(() => /second/.test(document.querySelector("textarea")?.value ?? ""));
  await page.keyboard.press("Control+z");
  assert.equal(await textOf(page), "The text of the first tab goes on");
  await leave(guest);
});

test("one tab goes to and fro between texts: each is kept once, and Undo leaves none behind", async () => {
  const { page, guest } = await visit("The first text");
  const texts = () =>
    page.evaluate(() =>
      Object.entries(localStorage)
        .filter(([key]) => key.startsWith("gpt2-edge/text/"))
        .map(([, value]) => JSON.parse(value).text)
        .sort(),
    );
  const now = (text: string) =>
    page.waitForFunction(
      (wanted) => document.querySelector("textarea")!.value === wanted,
      text,
      WAIT,
    );
  const locks = () =>
    page.evaluate(async () =>
      (await navigator.locks.query()).held!.filter((lock) => lock.name!.startsWith("gpt2-edge/")),
    );
  await kept(page, "The first text");
  await page.getByRole("button", { name: "Earlier texts" }).click();
  await page.getByRole("button", { name: "Begin a new text" }).click();
  await now("");
  await page.locator("#text").fill("The second text");
  await kept(page, "The second text");
  for (const name of ["first", "second", "first", "second", "first"]) {
    await page.getByRole("button", { name: "Earlier texts" }).click();
    await page.getByRole("button", { name: new RegExp(`^The ${name} text`) }).click();
    await now(`The ${name} text`);
  }
  assert.deepEqual(await texts(), ["The first text", "The second text"]);
  assert.equal((await locks()).length, 1);
  await page.locator("#text").press("Control+z");
  await now("The second text");
  await page.locator("#text").press("Control+End");
  await page.keyboard.type(" goes on");
  await kept(page, "The second text goes on");
  assert.deepEqual(await texts(), ["The first text", "The second text goes on"]);
  await leave(guest);
});

test("without locks, tabs that find themselves on one text part", async () => {
  const guest = await visitor(browser);
  await guest.context.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, "locks", { get: () => undefined });
  });
  const first = await guest.open(server.url);
  await first.locator("#text").fill("One text");
  await kept(first, "One text");
  const second = await guest.open(server.url);
  assert.equal(await textOf(second), "One text");
  await second.locator("#text").fill("Another text");
  await said(first, /open in another tab/);
  await first.locator("#text").fill("One text goes on");
  await kept(second, "One text goes on");
  await first.reload();
  await second.reload();
  assert.equal(await textOf(first), "One text goes on");
  assert.equal(await textOf(second), "Another text");
  await leave(guest);
});

test("a link has the text and the seed; the text before comes back by Undo", async () => {
  const { page, guest } = await visit(`${TEXT} é 😀 &=#`);
  await page.getByRole("button", { name: "Share as a link" }).click();
  await said(page, /^Link copied/);
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const seed = await page.locator("#write-seed").inputValue();
  const other = await visitor(browser);
  const there = await other.open(server.url);
  await there.locator("#text").fill("Mine.");
  await there.goto("about:blank");
  await there.goto(link);
  await there.waitForFunction(() => /sea/.test(document.querySelector("textarea")?.value ?? ""));
  assert.equal(await textOf(there), `${TEXT} é 😀 &=#`);
  assert.equal(await there.locator("#write-seed").inputValue(), seed);
  assert.equal(await there.evaluate(() => location.hash), "");
  await there.keyboard.press("Control+z");
  assert.equal(await textOf(there), "Mine.");

  await page.getByRole("button", { name: "Copy the text" }).click();
  await said(page, /^Copied/);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${TEXT} é 😀 &=#`);
  await leave(other);
  await leave(guest);
});

test("a link has nothing else of the page's address", async () => {
  const guest = await visitor(browser);
  const page = await guest.open(`${server.url}?token=secret&package=https://u:p@other.org/#seed=3`);
  await ready(page);
  await page.locator("#text").fill("A & b");
  await page.getByRole("button", { name: "Share as a link" }).click();
  await said(page, /^Link copied/);
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const seed = await page.locator("#write-seed").inputValue();
  assert.equal(link, `${server.url}#text=A+%26+b&seed=${seed}`);
  await leave(guest);
});

test("the same seed gives the same continuations; the theme and the view stay", async () => {
  const { page, guest } = await visit();
  const seed = await page.locator("#write-seed").inputValue();
  await page.locator("#text").press("Tab");
  const first = await continuations(page);
  await page.locator("#text").press("Escape");
  await said(page, /^None/);
  await page.getByRole("button", { name: "How to write" }).click();
  await page.locator("#write-seed").fill(seed);
  await page.locator("#write-seed").blur();
  await page.locator("#text").press("Tab");
  assert.deepEqual(await continuations(page), first);

  await page.getByRole("button", { name: "Dark colours" }).click();
  await page.locator("#tab-read").click();
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset["theme"]), "dark");
  assert.equal(await page.locator("#tab-read").getAttribute("aria-selected"), "true");
  await leave(guest);
});

test("a text longer than the context is used to its end; the rest is dimmed", async () => {
  const long = "The old man went down to the sea, and the sea was calm. ".repeat(60);
  const { page, guest } = await visit(long);
  await page.locator(".mirror .dropped").first().waitFor({ state: "attached" });
  const dropped = (await page.locator(".mirror .dropped").allTextContents()).join("");
  assert.ok(dropped.length > 500 && long.startsWith(dropped), `${dropped.length}`);
  await page.locator("#text").press("Control+End");
  await page.keyboard.type("And then");
  assert.equal((await page.locator(".mirror .dropped").allTextContents()).join(""), dropped);
  await page.locator("#text").press("Tab");
  await continuations(page);
  await page.keyboard.press("1");
  for (const name of ["next", "read", "attention"]) await view(page, name);
  const unread = (await page.locator("#view-read .dropped").textContent())!;
  assert.ok(unread.length > 500 && long.startsWith(unread), `${unread.length}`);
  await page.locator("#tab-read").click();
  await page.getByText(/characters do not fit into the model/).waitFor();
  await assertAccessible(page, "a long text");
  await page.locator("#tab-write").click();
  await page.locator("#text").fill("Another text");
  assert.equal(await page.locator(".mirror .dropped").count(), 0);
  await leave(guest);
});

test("scripts from right to left, characters of several tokens, and input methods", async () => {
  const { page, guest } = await visit("שלום 😀 עולם");
  const direction = (selector: string) =>
    page.evaluate((s) => getComputedStyle(document.querySelector(s)!).direction, selector);
  assert.equal(await direction("#text"), "rtl");
  await view(page, "read");
  assert.equal(await direction("#view-read .token-text"), "rtl");
  const faces = await page.locator("#view-read .face").allTextContents();
  assert.ok(faces.includes("😀"), faces.join("|"));

  await page.locator("#tab-write").click();
  await page.locator("#text").fill("");
  await page.locator("#text").focus();
  const keyboard = await page.context().newCDPSession(page);
  await keyboard.send("Input.imeSetComposition", {
    text: "に",
    selectionStart: 1,
    selectionEnd: 1,
  });
  await keyboard.send("Input.imeSetComposition", {
    text: "にほ",
    selectionStart: 2,
    selectionEnd: 2,
  });
  assert.equal(await textOf(page), "にほ");
  await keyboard.send("Input.insertText", { text: "日本" });
  assert.equal(await textOf(page), "日本");
  assert.equal(await generated(page), "");
  await page.keyboard.press("Control+z");
  assert.equal(await textOf(page), "");
  await leave(guest);
});

test("when the server goes, the text stays, and Try again goes on with a new one, and its model", async () => {
  const own = await startServer("int4");
  const relay = await startRelay();
  relay.lead(own.url);
  const guest = await visitor(browser);
  const page = await guest.open(relay.url);
  await ready(page);
  await page.locator("#text").fill(TEXT);
  await view(page, "read");
  const figure = await page.locator(".figure").textContent();
  await page.locator("#tab-write").click();
  await own.kill();
  relay.lead();
  await page.locator("#text").press("Tab");
  await page
    .getByRole("alert")
    .getByText(/does not answer/)
    .waitFor(WAIT);
  await assertAccessible(page, "a failure");
  assert.equal(await textOf(page), TEXT);
  const again = await startServer("fp32");
  relay.lead(again.url);
  try {
    await page.getByRole("button", { name: "Try again" }).click();
    await continuations(page);
    assert.equal(await page.locator("#notice").isVisible(), false);
    await view(page, "model");
    await page.locator(".model-head .help").getByText(/^fp32/).waitFor();
    await view(page, "read");
    await page.locator(".read .token[class*=surprise]").first().waitFor();
    assert.notEqual(await page.locator(".figure").textContent(), figure);
    await page.locator("#tab-write").click();
    await page.locator("#text").press("Control+End");
    await page.keyboard.type(" more");
    assert.equal(await textOf(page), `${TEXT} more`);
    await page.reload();
    await ready(page);
    assert.equal(await textOf(page), `${TEXT} more`);
  } finally {
    await again.kill();
    await relay.close();
  }
  await guest.close();
});

test("a failed load keeps the text, and is told until Try again succeeds", async () => {
  const guest = await visitor(browser);
  await guest.context.route("**/model", (route) => route.abort());
  const page = await guest.open(server.url);
  const alert = page.getByRole("alert").getByText(/does not answer/);
  await alert.waitFor(WAIT);
  await page.locator("#text").fill(TEXT);
  for (const name of ["next", "read", "attention", "model", "write"]) {
    await page.locator(`#tab-${name}`).click();
    await page.locator(`#view-${name}`).waitFor();
    await assertAccessible(page, `${name}, without a model`);
    assert.ok(await alert.isVisible(), name);
  }
  await guest.context.unroute("**/model");
  await page.getByRole("button", { name: "Try again" }).click();
  await ready(page);
  assert.equal(await focused(page), "tab-write");
  assert.equal(await textOf(page), TEXT);
  await page.locator("#text").press("Tab");
  await continuations(page);
  await guest.close();
});

test("a server with a key asks for it, once", async () => {
  const locked = await startServer("int4", ["--api-key", "open-sesame"]);
  const guest = await visitor(browser);
  const page = await guest.open(locked.url);
  await page.getByRole("alert").getByText("This server asks for a key.").waitFor(WAIT);
  await assertAccessible(page, "a key is asked for");
  await page.getByLabel("Key").fill("ключ");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("This cannot be the key").waitFor(WAIT);
  await page.getByLabel("Key").fill("wrong");
  await page.keyboard.press("Enter");
  await page.locator("#key:not(:focus)").waitFor(WAIT);
  await page.getByLabel("Key").fill("open-sesame");
  await page.keyboard.press("Enter");
  await ready(page);
  await page.locator("#text").fill(TEXT);
  await view(page, "next");
  await page.reload();
  await page.locator(".option .word:not(:empty)").first().waitFor(WAIT);
  await guest.close();
  await locked.kill();
});

test("files that are dropped do not take the page's place: the model is the server's", async () => {
  const { page, guest } = await visit();
  const drag = await Drag.over(page, [`${PACKAGES}int8`]);
  await page.locator(".drop-target", { hasText: "a package cannot be dropped here" }).waitFor();
  await drag.drop();
  await page.mouse.move(200, 200);
  await page.locator(".drop-target").waitFor({ state: "hidden" });
  assert.equal(await textOf(page), TEXT);
  assert.equal(guest.context.pages().length, 1);
  await view(page, "next");
  await leave(guest);
});

test("a text beyond what the server reads is used to its end", async () => {
  const { page, guest } = await visit("");
  const huge = "é".repeat(400_000);
  await page.evaluate((text) => {
    const area = document.querySelector("textarea")!;
    area.value = `${text} The old man`;
    area.dispatchEvent(new Event("input"));
  }, huge);
  await view(page, "read");
  assert.match((await page.locator("#view-read .tokens").textContent())!, /^é+ The old man$/);
  await leave(guest);
});

test("where the browser keeps nothing, the page still works", async () => {
  const guest = await visitor(browser);
  await guest.context.addInitScript(() => {
    for (const name of ["localStorage", "sessionStorage"]) {
      const get = () => {
        throw new DOMException("forbidden", "SecurityError");
      };
      Object.defineProperty(globalThis, name, { get });
    }
  });
  const page = await guest.open(server.url);
  await ready(page);
  await page.locator("#text").fill(TEXT);
  await page.keyboard.press("Tab");
  await continuations(page);
  await page.keyboard.press("1");
  await view(page, "read");
  await leave(guest);
});

test("without motion nothing moves, and the first load is small", async () => {
  const guest = await visitor(browser);
  const page = await guest.context.newPage();
  await page.emulateMedia({ reducedMotion: "reduce" });
  let bytes = 0;
  const counted: Promise<void>[] = [];
  page.on("requestfinished", (request) => {
    counted.push(
      request.response().then(async (response) => {
        bytes += (await response!.body()).length + (await request.sizes()).responseHeadersSize;
      }),
    );
  });
  await page.goto(server.url);
  await ready(page);
  await page.waitForLoadState("networkidle");
  await Promise.all(counted);
  assert.ok(counted.length > 15 && bytes < 200_000, `${counted.length} files, ${bytes} bytes`);
  const moving = await page.evaluate(
    () =>
      Array.from(document.querySelectorAll("*")).filter(
        (element) => !/^0s(, 0s)*$/.test(getComputedStyle(element).transitionDuration),
      ).length,
  );
  assert.equal(moving, 0);
  await leave(guest);
});
