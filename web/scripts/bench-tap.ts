/**
 * npm run bench:tap -- PACKAGE [TOKENS]: what a tap on a next word costs in headless Chromium, behind
 * a text of TOKENS (default 900, some 3,800 characters), with a prompt cache.
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { startBrowser } from "../tests/browser.js";
import { median } from "./peer-workload.js";
import { serve } from "./static-server.js";

const WEB = fileURLToPath(new URL("../..", import.meta.url));
const TAPS = 9;

const [given, tokens = "900"] = process.argv.slice(2);
const folder = resolve(given ?? ".");
if (!existsSync(join(folder, "manifest.json"))) {
  console.error(`${folder} has no manifest.json; npm run bench:tap -- PACKAGE [TOKENS]`);
  process.exit(2);
}
const served = await serve({ "/": WEB, "/package/": folder });
const browser = await startBrowser();
try {
  const page = await browser.newPage(`${served.url}/tests/empty.html`);
  const { whole, taps } = await page.evaluate(
    async ([count, times]) => {
      const library = "/build/src/index.js";
      const { Generator } = (await import(library)) as typeof import("../src/index.js");
      const generator = await Generator.load("/package/", { provider: "wasm", threads: 1 });
      const { vocabSize } = generator.manifest.architecture;
      const text = Array.from({ length: count }, (_, at) => (37 * at + 11) % vocabSize);
      const cache = generator.newCache();
      const taken: number[] = [];
      for (let tap = 0; tap <= times; tap++) {
        const begin = performance.now();
        const [first] = await generator.nextTokens(text, { k: 8, cache });
        taken.push(performance.now() - begin);
        text.push(first!.id);
      }
      return { whole: taken[0]!, taps: taken.slice(1) };
    },
    [Number(tokens), TAPS] as const,
  );
  const list = taps.map((one) => one.toFixed(0)).join(", ");
  console.log(`reading ${tokens} tokens: ${(whole / 1000).toFixed(1)} s`);
  console.log(`a tap: ${median(taps).toFixed(0)} ms in the median (${list})`);
} finally {
  await browser.close();
  await served.close();
}
