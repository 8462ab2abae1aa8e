/** Chromium without a window, with a profile of its own. */

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium, type BrowserContext, type Page } from "playwright-core";

const EXECUTABLE = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const QUIET = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** On a busy machine all takes longer, ms. */
const SLOW = 120_000;

export interface Browser {
  readonly context: BrowserContext;
  /** What a page said with console.error, or threw. */
  readonly complaints: string[];
  newPage(url: string): Promise<Page>;
  close(): Promise<void>;
}

export async function startBrowser(flags: readonly string[] = ["--disable-gpu"]): Promise<Browser> {
  if (!existsSync(EXECUTABLE)) {
    throw new Error(`${EXECUTABLE} is missing; run web/test.sh as root, or set CHROMIUM`);
  }
  const profile = await mkdtemp(join(tmpdir(), "gpt2-edge-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    headless: true,
    args: [...QUIET, ...flags],
    viewport: { width: 800, height: 900 },
    timeout: SLOW,
  });
  context.setDefaultTimeout(SLOW);
  const complaints: string[] = [];
  return {
    context,
    complaints,
    async newPage(url) {
      const page = await context.newPage();
      page.on("console", (message) => {
        if (message.type() === "error") complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(String(error)));
      await page.goto(url);
      return page;
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
