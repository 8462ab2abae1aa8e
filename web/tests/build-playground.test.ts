/** The static build: it replaces itself, and nothing that is somebody else's. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { buildPlayground } from "../scripts/build-playground.js";

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "gpt2-edge-build-"));
});
after(() => rm(root, { recursive: true, force: true }));

async function folderWith(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
  return folder;
}

test("a folder with other things is refused, though it has a service worker", async () => {
  const files = { "service-worker.js": "// of another site\n", "index.html": "theirs" };
  const folder = await folderWith("site", files);
  await assert.rejects(buildPlayground(folder), /site is there and is no playground; name another/);
  assert.deepEqual((await readdir(folder)).sort(), ["index.html", "service-worker.js"]);
  assert.equal(await readFile(join(folder, "index.html"), "utf8"), "theirs");
});

test("another build replaces the page, and keeps its package and what else is there", async () => {
  const pack = await folderWith("pack", { "manifest.json": "first" });
  const page = join(root, "page");
  await buildPlayground(page, pack);
  const wasm = (await readdir(join(page, "local"))).filter((name) => name.endsWith(".wasm"));
  assert.equal(wasm.length, 2);
  for (const name of wasm) {
    const content = await readFile(join(page, "local", name));
    const hash = createHash("sha256").update(content).digest("hex");
    assert.equal(name.split(".").at(-2), hash.slice(0, 16));
  }
  const manifest = join(page, "package/manifest.json");
  assert.equal(await readFile(manifest, "utf8"), "first");
  await writeFile(join(page, "CNAME"), "example.org");
  await writeFile(join(page, "local/old.js"), "old");
  await buildPlayground(page);
  assert.equal(await readFile(manifest, "utf8"), "first");
  assert.equal(await readFile(join(page, "CNAME"), "utf8"), "example.org");
  assert.ok(!existsSync(join(page, "local/old.js")));

  await buildPlayground(page, join(page, "package")); // the one that it has
  assert.equal(await readFile(manifest, "utf8"), "first");
  const next = await folderWith("next", { "manifest.json": "second" });
  await buildPlayground(page, next);
  assert.equal(await readFile(manifest, "utf8"), "second");
  assert.deepEqual((await readdir(root)).sort(), ["next", "pack", "page", "site"]);
});
