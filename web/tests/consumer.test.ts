/** What npm pack makes: a project of its own imports it, type-checks against it, and writes with it. */

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { readExpected, serveAll, WEB } from "./support.js";

interface Packed {
  readonly filename: string;
  readonly files: { readonly path: string }[];
}

const PROGRAM = `
import { Generator, GPT2EdgeError, type GenerationResult } from "@gpt2-edge/web";

try {
  const generator = await Generator.load(process.argv[2]!, { provider: "auto", threads: 1 });
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
  const options = ["--json", "--pack-destination", project];
  const said = execFileSync("npm", ["pack", ...options], { cwd: WEB, encoding: "utf8" });
  [packed] = JSON.parse(said) as [Packed];
  const installed = join(project, "node_modules/@gpt2-edge/web");
  mkdirSync(installed, { recursive: true });
  run("tar", "-xzf", packed.filename, "-C", installed, "--strip-components=1");
  const { dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  for (const name of [
    ...Object.keys(dependencies),
    "onnxruntime-common",
    "@types",
    "undici-types",
  ]) {
    const link = join(project, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(WEB, "node_modules", name), link);
  }
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

test("a TypeScript project elsewhere compiles against it and gets Python's tokens", async () => {
  writeFileSync(join(project, "package.json"), '{"type": "module", "private": true}');
  writeFileSync(join(project, "program.mts"), PROGRAM);
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(OPTIONS));
  run(process.execPath, join(WEB, "node_modules/typescript/bin/tsc"), "-p", ".");
  const served = await serveAll();
  const { greedy } = readExpected().packages["int4"]!;
  const program = async (url: string): Promise<string> => {
    const args = ["program.mjs", url, greedy.prompt];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project });
    return stdout.trim();
  };
  try {
    assert.deepEqual(JSON.parse(await program(`${served.url}/packages/int4`)), {
      ids: greedy.ids.slice(0, 8),
      same: true,
    });
    assert.equal(await program(`${served.url}/packages/nothing`), "PackageError");
  } finally {
    await served.close();
  }
});
