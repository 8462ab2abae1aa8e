/**
 * The playground as a folder of plain files that any static host serves, from any address: the page
 * of server/gpt2_edge_server/playground, the model's worker and ONNX Runtime in local/, and a service
 * worker that keeps the page for visits without a network.
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import type { Provider } from "../src/index.js";

const WEB = fileURLToPath(new URL("../..", import.meta.url));
const PAGE = join(WEB, "../server/gpt2_edge_server/playground");
const RUNTIME = join(WEB, "node_modules/onnxruntime-web/dist");
const RUNTIMES: Readonly<Record<Exclude<Provider, "cpu">, string>> = {
  wasm: "ort-wasm-simd-threaded",
  webgpu: "ort-wasm-simd-threaded.asyncify",
};
const WORKER = "service-worker.js";
const LICENSED = ["onnxruntime-web", "onnxruntime-common", "@huggingface/tokenizers"];

/** What the page may load: its own files; packages from anywhere. */
export const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self' http: https:",
  "style-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/**
 * Writes the page to `folder`, with the package in the folder `pack` as its package/. Of an earlier
 * playground there it replaces what it brings, once all of that is built, and removes what the page no
 * longer has; anything else in the folder stays. Throws for a folder with other things in it.
 */
export async function buildPlayground(folder: string, pack?: string): Promise<void> {
  if (!(await isOurs(folder))) {
    throw new Error(
      `${folder} is there and is no playground; name another folder, or remove it yourself`,
    );
  }
  const fresh = `${resolve(folder)}.new-${process.pid}`;
  try {
    await writePage(fresh);
    // It may lie in the folder itself: nothing is replaced before it is copied.
    if (pack !== undefined) await cp(pack, join(fresh, "package"), { recursive: true });
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(fresh)) {
      if (name === WORKER) continue;
      await rm(join(folder, name), { recursive: true, force: true });
      await rename(join(fresh, name), join(folder, name));
    }
    await removeLeftovers(folder, await filesOf(fresh));
    // The last one: until then it says which files are of the earlier build.
    await rename(join(fresh, WORKER), join(folder, WORKER));
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Whether `folder` is missing, empty, or what this script wrote. */
async function isOurs(folder: string): Promise<boolean> {
  if (!existsSync(folder)) return true;
  if (!(await stat(folder)).isDirectory()) return false;
  if ((await readdir(folder)).length === 0) return true;
  const worker = await readFile(join(folder, WORKER), "utf8").catch(() => "");
  return worker.startsWith("const VERSION = ") && worker.includes("gpt2-edge-page");
}

/** The files that the service worker in `folder` names as those of its build. */
async function filesOf(folder: string): Promise<Set<string>> {
  const worker = await readFile(join(folder, WORKER), "utf8").catch(() => "");
  const list = /^const FILES = (\[.*\]);$/m.exec(worker)?.[1] ?? "[]";
  try {
    return new Set((JSON.parse(list) as unknown[]).map(String));
  } catch {
    return new Set();
  }
}

/** Removes what an earlier build wrote into `folder` and this one, of the files `kept`, did not. */
async function removeLeftovers(folder: string, kept: ReadonlySet<string>): Promise<void> {
  const before = await filesOf(folder);
  // Only what is there, by its own name: the list may say "../other".
  for (const file of await filesIn(folder)) {
    if (!before.has(file) || kept.has(file)) continue;
    await rm(join(folder, file));
    // Folders go with their last file; rmdir refuses one that has others.
    for (let parent = dirname(file); parent !== "."; parent = dirname(parent)) {
      if (
        !(await rmdir(join(folder, parent)).then(
          () => true,
          () => false,
        ))
      )
        break;
    }
  }
}

async function writePage(folder: string): Promise<void> {
  await cp(PAGE, folder, { recursive: true });
  const local = join(folder, "local");
  await mkdir(local);
  const wasmFiles: Record<string, { file: string; bytes: number; sha256: string }> = {};
  for (const [provider, name] of Object.entries(RUNTIMES)) {
    await cp(join(RUNTIME, `${name}.mjs`), join(local, `${name}.mjs`));
    const content = await readFile(join(RUNTIME, `${name}.wasm`));
    const sha256 = hashOf(content);
    // A worker that a browser kept of another build never gets this build's file.
    const file = `${name}.${sha256.slice(0, 16)}.wasm`;
    await writeFile(join(local, file), content);
    wasmFiles[provider] = { file, bytes: content.length, sha256 };
  }
  await build({
    entryPoints: { worker: join(WEB, "local/worker.ts") },
    outdir: local,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    conditions: ["onnxruntime-web-use-extern-wasm"],
    define: { WASM_FILES: JSON.stringify(wasmFiles) },
    logLevel: "warning",
  });
  await writeFile(join(local, "LICENSES.txt"), await licences());
  await writeIndex(join(folder, "index.html"));
  await writeServiceWorker(folder);
}

/** The page's own file names the server as its backend. */
async function writeIndex(file: string): Promise<void> {
  const page = await readFile(file, "utf8");
  const named = '<meta name="gpt2-edge-backend" content="server" />';
  if (!page.includes(named)) throw new Error(`${file} has no ${named}`);
  const policy = `<meta http-equiv="Content-Security-Policy" content="${POLICY}" />`;
  const local = `${policy}\n    ${named.replace("server", "local")}`;
  await writeFile(file, page.replace(named, local));
}

/** It keeps all files but ONNX Runtime's large ones, which are kept with the packages. */
async function writeServiceWorker(folder: string): Promise<void> {
  const template = await readFile(join(WEB, "local/service-worker.js"), "utf8");
  const files = (await filesIn(folder)).filter((file) => !/\.(wasm|txt)$/.test(file));
  const contents = await Promise.all(files.map((file) => readFile(join(folder, file))));
  const version = hashOf(Buffer.concat([Buffer.from(template), ...contents])).slice(0, 16);
  const names = files.map((file) => (file === "index.html" ? "./" : file));
  const constants = { VERSION: version, FILES: names };
  const lines = Object.entries(constants).map(
    ([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`,
  );
  await writeFile(join(folder, WORKER), lines.join("") + template);
}

async function licences(): Promise<string> {
  const texts = LICENSED.map(async (name) => {
    const folder = join(WEB, "node_modules", name);
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    const { license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const text = file ? await readFile(join(folder, file), "utf8") : "";
    return `${name}: ${license}\n\n${text}\n`;
  });
  return (await Promise.all(texts)).join("\n");
}

/** Paths of all files in `folder`, sorted, with slashes; not through links. */
async function filesIn(folder: string, within = ""): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(folder, within), { withFileTypes: true })) {
    const path = within + entry.name;
    if (entry.isDirectory()) found.push(...(await filesIn(folder, `${path}/`)));
    else if (entry.isFile()) found.push(path);
  }
  return found.sort();
}

function hashOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
