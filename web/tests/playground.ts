/** A hand on the playground, whichever backend it has: pages of it, and what tests do there. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";

import {
  chromium,
  type Browser,
  type BrowserContext,
  type CDPSession,
  type Page,
} from "playwright-core";

import { WEB } from "./support.js";

export const SCREENSHOTS = `${WEB}build/screenshots`;
/** Slow machines are slow. */
export const WAIT = { timeout: 120_000 };
const EXECUTABLE = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
];

export interface Look {
  readonly name: string;
  readonly phone: boolean;
  readonly dark: boolean;
}

export const LOOKS: readonly Look[] = [
  { name: "desktop-light", phone: false, dark: false },
  { name: "desktop-dark", phone: false, dark: true },
  { name: "phone-light", phone: true, dark: false },
  { name: "phone-dark", phone: true, dark: true },
];

/** One visitor: a browser's profile of its own, with tabs. */
export interface Visitor {
  readonly context: BrowserContext;
  /** What pages said with console.error, or threw. */
  readonly complaints: string[];
  open(url: string): Promise<Page>;
  close(): Promise<void>;
}

export async function startChromium(): Promise<Browser> {
  if (!existsSync(EXECUTABLE)) {
    throw new Error(`${EXECUTABLE} is missing; run web/test.sh as root, or set CHROMIUM`);
  }
  await mkdir(SCREENSHOTS, { recursive: true });
  return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: QUIET, ...WAIT });
}

export async function visitor(browser: Browser, look: Look = LOOKS[0]!): Promise<Visitor> {
  const context = await browser.newContext({
    viewport: look.phone ? { width: 390, height: 844 } : { width: 1280, height: 800 },
    colorScheme: look.dark ? "dark" : "light",
    hasTouch: look.phone,
    isMobile: look.phone,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  context.setDefaultTimeout(WAIT.timeout);
  // Browsers ask for it where a file is looked at by itself.
  await context.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  const complaints: string[] = [];
  context.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  context.on("weberror", (error) => complaints.push(String(error.error())));
  return {
    context,
    complaints,
    async open(url) {
      const page = await context.newPage();
      await page.goto(url);
      await page.waitForSelector("#tab-write[aria-selected]");
      return page;
    },
    close: () => context.close(),
  };
}

/** Until the page has said what matches. */
export async function said(page: Page, pattern: RegExp): Promise<void> {
  await page.waitForFunction(
    ([source, flags]) =>
      new RegExp(source!, flags).test(document.getElementById("status")!.textContent!),
    [pattern.source, pattern.flags],
    WAIT,
  );
}

export const textOf = (page: Page): Promise<string> => page.locator("#text").inputValue();

/** The words that the page shows as the model's. */
export const generated = async (page: Page): Promise<string> =>
  (await page.locator(".mirror .generated").allTextContents()).join("");

/** Where the focus is: the id of the element, or else its class. */
export const focused = (page: Page): Promise<string> =>
  page.evaluate(() => document.activeElement!.id || document.activeElement!.className);

/** Until the model is there: not before the page has begun to load it, as right after a reload. */
export async function ready(page: Page): Promise<void> {
  await page.waitForFunction(
    () =>
      document.querySelector("[role=tab][aria-selected=true]") !== null &&
      document.getElementById("loading")!.hidden &&
      document.getElementById("notice")!.hidden,
    undefined,
    WAIT,
  );
}

/** Until `text` is where it stays over a visit. */
export async function kept(page: Page, text: string): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      Object.entries(localStorage).some(
        ([key, value]) => key.startsWith("gpt2-edge/text/") && JSON.parse(value).text === wanted,
      ),
    text,
    WAIT,
  );
}

/** Goes to a view, and waits for what it shows. */
export async function view(page: Page, name: string): Promise<void> {
  const shows: Record<string, string> = {
    write: "#text",
    next: ".next:not([aria-busy]) .option .word:not(:empty)",
    read: ".read:not([aria-busy]) .token",
    attention: ".attention:not([aria-busy]) .heads button",
    model: ".model .file-list",
  };
  await page.locator(`#tab-${name}`).click();
  await page.locator(shows[name]!).first().waitFor({ state: "visible" });
}

/** Three continuations, as they are when they are complete. */
export async function continuations(page: Page): Promise<string[]> {
  await said(page, /^Three continuations\. /);
  return page.locator("#continuations .words").allTextContents();
}

const axe = await readFile(`${WEB}node_modules/axe-core/axe.min.js`, "utf8");

/** Asserts that axe-core finds nothing, what it may be as well as what it must be. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  // Colours are judged as they are in the end.
  await page.waitForFunction(() =>
    document.getAnimations().every((animation) => animation.playState !== "running"),
  );
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await (globalThis as any).axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return violations.map((violation: any) => {
      const nodes = violation.nodes.map((node: any) => `${node.target}: ${node.failureSummary}`);
      return `${violation.id}: ${nodes.slice(0, 3).join("; ")}`;
    });
  });
  assert.deepEqual(found, [], where);
}

/** Asserts that nothing is wider than the window. */
export async function assertFits(page: Page, where: string): Promise<void> {
  const [wide, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  assert.ok(wide! <= window!, `${where} is ${wide} wide in a window of ${window}`);
}

/** Asserts that what is to be touched is large enough for a finger. */
export async function assertTouchable(page: Page, where: string): Promise<void> {
  const small = await page.evaluate(() =>
    Array.from(document.querySelectorAll("button, input, select, [role=option]:not(.token)"))
      .map((element) => ({ element, rect: element.getBoundingClientRect() }))
      .filter(({ rect }) => rect.width > 0)
      .map(({ element, rect }) => ({
        // A box to tick is as large as its label.
        rect: element.matches("[type=checkbox]")
          ? element.closest("label")!.getBoundingClientRect()
          : rect,
        name: element.id || element.textContent || element.className,
      }))
      .filter(({ rect }) => Math.min(rect.width, rect.height) < 43.5)
      .map(({ name, rect }) => `${name}: ${rect.width} x ${rect.height}`),
  );
  assert.deepEqual(small, [], where);
}

/** Files and folders of this device over a page, as a hand with a file manager moves them. */
export class Drag {
  private constructor(
    private readonly session: CDPSession,
    private readonly event: { x: number; y: number; data: object },
  ) {}

  /** They come over `page`, to the middle of the element `selector`, or else to a point of the page. */
  static async over(page: Page, files: readonly string[], selector?: string): Promise<Drag> {
    const target = page.locator(selector ?? "body");
    if (selector) await target.scrollIntoViewIfNeeded();
    const { x, y, height } = selector
      ? (await target.boundingBox())!
      : { x: 20, y: 300, height: 0 };
    const session = await page.context().newCDPSession(page);
    const data = { items: [], files: [...files], dragOperationsMask: 1 };
    const drag = new Drag(session, { x: x + 20, y: y + height / 2, data });
    await drag.is("dragEnter");
    await drag.is("dragOver");
    return drag;
  }

  async drop(): Promise<void> {
    await this.is("drop");
  }

  private async is(type: "dragEnter" | "dragOver" | "drop"): Promise<void> {
    await this.session.send("Input.dispatchDragEvent", { type, ...this.event } as never);
  }
}
