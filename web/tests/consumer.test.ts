/** What npm pack makes: a project of its own imports it, type-checks against it, and writes with it. */

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

import { installPacked, type Packed } from "./packed.js";
import { readExpected, serveAll, WEB } from "./support.js";

// Kilobytes, compressed; ONNX Runtime and the tokenizers come on top.
const PAGE_BUDGET = 30;
const PACK_BUDGET = 110;
const PROGRAM = `
import { Generator, GPT2EdgeError, type GenerationResult, type Provider } from "@gpt2-edge/web";

try {
  const provider = process.argv[4] as Provider | "auto";
  const generator = await Generator.load(process.argv[2]!, { provider, threads: 1 });
  const stream = generator.stream(process.argv[3]!, { maxNewTokens: 8, ignoreEos: true });
  let text = "";
  for await (const piece of stream) text += piece;
  const result: GenerationResult = stream.result;
  console.log(JSON.stringify({ ids: result.ids, same: text === result.text }));
} catch (error) {
  if (!(error instanceof GPT2EdgeError)) throw error;
  console.log(error.name);
}
`;
const OPTIONS = {
  compilerOptions: {
    target: "es2022",
    lib: ["es2022", "dom", "esnext.disposable"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
  },
  files: ["program.mts"],
};

let project: string;
let packed: Packed;
const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd: project, encoding: "utf8" });

before(() => {
  project = mkdtempSync(join(tmpdir(), "gpt2-edge-consumer-"));
  packed = installPacked(project, ["onnxruntime-common", "@types", "undici-types"]);
});
after(() => rmSync(project, { recursive: true, force: true }));

test("the package has the module and its types, and nothing of tests or playground", () => {
  const paths = packed.files.map(({ path }) => path);
  for (const path of [
    "package.json",
    "README.md",
    "LICENSE",
    "build/src/index.js",
    "build/src/index.d.ts",
  ]) {
    assert.ok(paths.includes(path), `${path} is missing`);
  }
  const others = paths.filter((path) => !/^(build\/src\/[^/]+\.(js|d\.ts)|[^/]+)$/.test(path));
  assert.deepEqual(others, []);
});

test("the module is small: what a page downloads of it, and what npm does", async () => {
  const { outputFiles } = await build({
    stdin: { contents: 'export * from "@gpt2-edge/web"', resolveDir: project },
    external: ["onnxruntime-web", "@huggingface/tokenizers"],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
  });
  const bundled = gzipSync(outputFiles[0]!.contents).length;
  assert.ok(bundled < 1024 * PAGE_BUDGET, `${bundled} bytes in a page`);
  assert.ok(packed.size < 1024 * PACK_BUDGET, `${packed.size} bytes in the archive`);
});

test("a TypeScript project elsewhere compiles against it and gets Python's tokens", async () => {
  writeFileSync(join(project, "package.json"), '{"type": "module", "private": true}');
  writeFileSync(join(project, "program.mts"), PROGRAM);
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(OPTIONS));
  run(process.execPath, join(WEB, "node_modules/typescript/bin/tsc"), "-p", ".");
  const served = await serveAll();
  const { greedy } = readExpected().packages["int4"]!;
  const program = async (url: string, provider = "auto"): Promise<string> => {
    const args = ["program.mjs", url, greedy.prompt, provider];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project });
    return stdout.trim();
  };
  try {
    assert.deepEqual(JSON.parse(await program(`${served.url}/packages/int4`)), {
      ids: greedy.ids.slice(0, 8),
      same: true,
    });
    assert.equal(await program(`${served.url}/packages/nothing`), "PackageError");
    // onnxruntime-node is not installed there.
    assert.equal(await program(`${served.url}/packages/int4`, "cpu"), "ProviderError");
  } finally {
    await served.close();
  }
});
