/**
 * One process of bench-peers: node peer.js LIBRARY FOLDER THREADS. Loads a package, writes texts, and
 * prints what that took as a line of JSON.
 */

import { fileURLToPath, pathToFileURL } from "node:url";
import { basename, dirname, sep } from "node:path";

import { Generator } from "../src/index.js";
import { timed, WORKLOAD, type Taken, type Write } from "./peer-workload.js";

const PEERS = new URL("../../../tests/ecosystem/in_node/node_modules/", import.meta.url);

async function ours(folder: string, threads: number): Promise<Write> {
  const generator = await Generator.load(pathToFileURL(folder), { threads });
  return async ({ prompt, tokens }) => {
    await generator.generate(prompt, { maxNewTokens: tokens, ignoreEos: true, doSample: false });
  };
}

async function transformersJs(folder: string, threads: number): Promise<Write> {
  const library = new URL("@huggingface/transformers/dist/transformers.node.mjs", PEERS).href;
  const { env, pipeline } = await import(library);
  env.allowRemoteModels = false;
  env.localModelPath = dirname(folder) + sep;
  const session_options = { intraOpNumThreads: threads, interOpNumThreads: 1 };
  const options = { subfolder: "", session_options };
  const write = await pipeline("text-generation", basename(folder), options);
  return async ({ prompt, tokens }) => {
    await write(prompt, { max_new_tokens: tokens, min_new_tokens: tokens, do_sample: false });
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [library, folder, threads] = process.argv.slice(2);
  const load = library === "transformers.js" ? transformersJs : ours;
  const taken: Taken = await timed(() => load(folder!, Number(threads)), WORKLOAD);
  console.log(JSON.stringify({ ...taken, memory: process.memoryUsage().rss }));
}
