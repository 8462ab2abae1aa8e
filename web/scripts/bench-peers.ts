/**
 * npm run bench:peers -- PACKAGE [ROUNDS]: one package in this module and in transformers.js,
 * side by side, in Node and in headless Chromium: each in a process or a browser of its own, in turns.
 * transformers.js comes from tests/ecosystem/in_node (npm ci there).
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startBrowser } from "../tests/browser.js";
import { median, WORKLOAD, type Taken } from "./peer-workload.js";
import { serve } from "./static-server.js";

const WEB = fileURLToPath(new URL("../..", import.meta.url));
const PEERS = join(WEB, "../tests/ecosystem/in_node/node_modules");
const run = promisify(execFile);

type Library = "gpt2-edge" | "transformers.js";
interface Measured extends Taken {
  /** Of the process, in Node; bytes that the page fetched, in Chromium. */
  readonly memory?: number;
  readonly fetched?: number;
}

async function inNode(library: Library, folder: string): Promise<Measured> {
  const script = join(WEB, "build/scripts/peer.js");
  const { stdout } = await run(process.execPath, [script, library, folder, "1"]);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Measured;
}

async function inChromium(library: Library, folder: string): Promise<Measured> {
  const name = basename(folder);
  const served = await serve({ "/": WEB, "/peers/": PEERS, [`/packages/${name}/`]: folder });
  const browser = await startBrowser();
  try {
    const page = await browser.newPage(`${served.url}/tests/empty.html`);
    return await page.evaluate(
      async ([which, model, workload]) => {
        const [helper, module] = ["/build/scripts/peer-workload.js", "/build/src/index.js"];
        const { timed } = (await import(helper)) as typeof import("./peer-workload.js");
        performance.setResourceTimingBufferSize(10_000);
        const ours = async () => {
          const { Generator } = (await import(module)) as typeof import("../src/index.js");
          const options = { provider: "wasm", threads: 1 } as const;
          const generator = await Generator.load(`/packages/${model}/`, options);
          return async ({ prompt, tokens }: typeof workload) => {
            const config = { maxNewTokens: tokens, ignoreEos: true, doSample: false };
            await generator.generate(prompt, config);
          };
        };
        const theirs = async () => {
          const library = "/peers/@huggingface/transformers/dist/transformers.min.js";
          const { env, pipeline } = await import(library);
          env.allowRemoteModels = false;
          env.allowLocalModels = true;
          env.useBrowserCache = false;
          env.localModelPath = "/packages/";
          env.backends.onnx.wasm.wasmPaths = "/peers/onnxruntime-web/dist/";
          env.backends.onnx.wasm.numThreads = 1;
          const options = { subfolder: "", device: "wasm" };
          const write = await pipeline("text-generation", model, options);
          return async ({ prompt, tokens }: typeof workload) => {
            const lengths = { max_new_tokens: tokens, min_new_tokens: tokens };
            await write(prompt, { ...lengths, do_sample: false });
          };
        };
        const taken = await timed(which === "gpt2-edge" ? ours : theirs, workload);
        const resources = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
        const fetched = resources.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
        return { ...taken, fetched };
      },
      [library, name, WORKLOAD] as const,
    );
  } finally {
    await browser.close();
    await served.close();
  }
}

const [given, rounds = "3"] = process.argv.slice(2);
const folder = given === undefined ? "" : resolve(given);
for (const [path, advice] of [
  [join(folder, "manifest.json"), "npm run bench:peers -- PACKAGE [ROUNDS]"],
  [join(PEERS, "@huggingface/transformers"), "npm ci in tests/ecosystem/in_node"],
] as const) {
  if (existsSync(path)) continue;
  console.error(`${path} is missing; ${advice}`);
  process.exit(2);
}
const rows: [where: string, library: Library, measured: Measured[]][] = [
  ["Node", "gpt2-edge", []],
  ["Node", "transformers.js", []],
  ["Chromium", "gpt2-edge", []],
  ["Chromium", "transformers.js", []],
];
for (let round = 0; round < Number(rounds); round++) {
  for (const [where, library, measured] of rows) {
    measured.push(await (where === "Node" ? inNode : inChromium)(library, folder));
  }
}
console.log(`${WORKLOAD.tokens} greedy tokens, one thread, medians of ${rounds} rounds.\n`);
console.log("| where | library | load s | tokens/s, first text | later | MB |");
console.log("| --- | --- | --- | --- | --- | --- |");
for (const [where, library, measured] of rows) {
  const of = (value: (one: Measured) => number): number => median(measured.map(value));
  const megabytes = of(({ memory, fetched }) => (memory ?? fetched ?? 0) / 1e6).toFixed(0);
  const cells = [
    of(({ load }) => load).toFixed(2),
    of(({ first }) => first).toFixed(0),
    of(({ later }) => later).toFixed(0),
    `${megabytes} ${where === "Node" ? "in memory" : "fetched"}`,
  ];
  console.log(`| ${[where, library, ...cells].join(" | ")} |`);
}
