/** The static build: it replaces itself, and nothing that is somebody else's. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
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

test("what an earlier build had and this one has not goes, and nothing that is not of it", async () => {
  const page = join(root, "grown");
  await buildPlayground(page);
  const worker = join(page, "service-worker.js");
  const build = await readFile(worker, "utf8");
  const before = [
    "old.js",
    "fonts/a.woff2",
    "fonts/b/c.woff2",
    "mixed/old.css",
    "../pack/mine.txt",
  ];
  const listed = [...before, "linked/far.txt", "gone.js", 7];
  await writeFile(
    worker,
    build.replace("const FILES = [", `$&${JSON.stringify(listed).slice(1, -1)},`),
  );
  for (const name of ["fonts/b", "mixed", "package", "../elsewhere", "../pack"]) {
    await mkdir(join(page, name), { recursive: true });
  }
  const theirs = ["CNAME", "mixed/mine.css", "package/old.js", "../elsewhere/far.txt"];
  for (const file of [...before, ...theirs]) await writeFile(join(page, file), "x");
  await symlink("../elsewhere", join(page, "linked"));
  await symlink("nowhere", join(page, "broken"));
  await buildPlayground(page);
  for (const file of [...theirs, "../pack/mine.txt"]) assert.ok(existsSync(join(page, file)), file);
  const names = await readdir(page);
  for (const name of ["linked", "broken"]) assert.ok(names.includes(name), name);
  for (const name of ["old.js", "fonts", "mixed/old.css"]) {
    assert.ok(!existsSync(join(page, name)), name);
  }
  assert.equal(await readFile(worker, "utf8"), build);

  // A list that makes no sense names nothing.
  await writeFile(worker, build.replace(/^const FILES = .*$/m, 'const FILES = ["CNAME", oops];'));
  await buildPlayground(page);
  assert.ok(existsSync(join(page, "CNAME")));
});
