/**
 * npm run bench -- PACKAGE...: speed of packages on WebAssembly, in Node and in headless Chromium,
 * beside Python's runtime on the same machine (PYTHON, CHROMIUM as for test.sh). The machine should
 * be idle.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startBrowser } from "../tests/browser.js";
import { Generator } from "../src/index.js";
import { serve } from "./static-server.js";
import { measure, NEW_TOKENS, PROMPT_TOKENS, type Speed } from "./workload.js";

const WEB = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

type Row = (folder: string, threads: number) => Promise<Speed>;

const python: Row = async (folder, threads) => {
  const script = join(WEB, "scripts/bench_python.py");
  const { stdout } = await run(process.env["PYTHON"] ?? "python3", [script, folder, `${threads}`]);
  return JSON.parse(stdout) as Speed;
};

const node: Row = async (folder) => {
  const served = await serve({ "/package/": folder });
  const generator = await Generator.load(`${served.url}/package/`);
  try {
    return await measure(generator);
  } finally {
    await generator.dispose();
    await served.close();
  }
};

const chromium: Row = async (folder, threads) => {
  const served = await serve({ "/": WEB, "/package/": folder });
  const browser = await startBrowser();
  try {
    const page = await browser.newPage(`${served.url}/tests/empty.html`);
    return await page.evaluate(async (count) => {
      const [library, workload] = ["/build/src/index.js", "/build/scripts/workload.js"];
      const { Generator } = (await import(library)) as typeof import("../src/index.js");
      const { measure } = (await import(workload)) as typeof import("./workload.js");
      return measure(await Generator.load("/package/", { provider: "wasm", threads: count }));
    }, threads);
  } finally {
    await browser.close();
    await served.close();
  }
};

const ROWS: [where: string, threads: number, row: Row][] = [
  ["Python", 1, python],
  ["Python", 2, python],
  ["Node", 1, node],
  ["Chromium", 1, chromium],
  ["Chromium", 2, chromium],
];

const folders = process.argv.slice(2);
const wrong = folders.find((folder) => !existsSync(join(folder, "manifest.json")));
if (wrong !== undefined || folders.length === 0) {
  const what = wrong === undefined ? "no package given" : `${wrong} has no manifest.json`;
  console.error(`${what}; npm run bench -- PACKAGE..., with folders from gpt2-edge export`);
  process.exit(2);
}
console.log(`Tokens a second: a prompt of ${PROMPT_TOKENS}, then ${NEW_TOKENS} greedily.\n`);
console.log("| package | where | threads | prefill | decode |\n| --- | --- | --- | --- | --- |");
for (const folder of folders.map((given) => resolve(given))) {
  for (const [where, threads, row] of ROWS) {
    const { prefill, decode } = await row(folder, threads);
    const cells = [basename(folder), where, threads, prefill.toFixed(0), decode.toFixed(0)];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
