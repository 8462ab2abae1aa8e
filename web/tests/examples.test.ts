/** The examples are built by Vite from the packed module, outside of the repository, and write Python's text. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { serve, type Served } from "../scripts/static-server.js";
import { startBrowser, type Browser } from "./browser.js";
import { installPacked, link } from "./packed.js";
import { loading, PACKAGES, WEB } from "./support.js";

const EXAMPLES = join(WEB, "examples");
const PROMPT = "It was a bright morning, and";
const CDN = "https://cdn.jsdelivr.net/npm/";

const { load } = loading();
let project: string;
let served: Served;
let browser: Browser;
before(async () => {
  project = mkdtempSync(join(tmpdir(), "gpt2-edge-examples-"));
  const left = ["node_modules", "dist"].map((name) => join(EXAMPLES, name));
  cpSync(EXAMPLES, project, { recursive: true, filter: (path) => !left.includes(path) });
  installPacked(project);
  const modules = join(EXAMPLES, "node_modules");
  for (const name of readdirSync(modules).filter((entry) => !entry.startsWith("."))) {
    const names = name.startsWith("@")
      ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`)
      : [name];
    for (const one of names) link(join(modules, one), join(project, "node_modules", one));
  }
  const vite = join(project, "node_modules/vite/bin/vite.js");
  execFileSync(process.execPath, [vite, "build"], { cwd: project, stdio: "pipe" });
  const folders = { "/built/": join(project, "dist"), "/plain/": EXAMPLES, "/packages/": PACKAGES };
  served = await serve(folders, { isolated: false });
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await served?.close();
  rmSync(project, { recursive: true, force: true });
});

/** What the example at `path` makes of its text, at one press of its button. */
async function writtenAt(path: string): Promise<string> {
  const page = await browser.newPage("about:blank");
  await page.route(`${CDN}**`, async (route) => {
    // The CDN as it would be: of each package the version that is named, and the files in it.
    const [, name, version, file] = /npm\/((?:@[^/]+\/)?[^/@]+)@([^/]+)\/(.*)$/.exec(
      route.request().url(),
    )!;
    const folder = join(project, "node_modules", name!);
    const found = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    assert.equal(found.version, version, name);
    const headers = { "access-control-allow-origin": "*" };
    await route.fulfill({ path: join(folder, file!), headers });
  });
  await page.goto(`${served.url}/${path}/?package=/packages/int4/`);
  await page.locator("#write:enabled").click();
  // That the button is off while it writes may be over before anybody looks.
  await page.waitForFunction(
    (prompt) =>
      !document.querySelector<HTMLButtonElement>("#write")!.disabled &&
      document.querySelector<HTMLTextAreaElement>("#text")!.value !== prompt,
    PROMPT,
  );
  const text = await page.locator("#text").inputValue();
  assert.ok(text.startsWith(PROMPT), text);
  await page.close();
  return text.slice(PROMPT.length);
}

for (const path of ["built/vanilla", "built/worker", "built/react", "built/svelte", "plain/cdn"]) {
  test(`${path} writes what the module writes`, async () => {
    const { text } = await (await load("int4")).generate(PROMPT, { maxNewTokens: 30 });
    assert.ok(text!.length > 40);
    assert.equal(await writtenAt(path), text);
    assert.deepEqual(browser.complaints, []);
  });
}

test("the CDN's addresses and the READMEs' name this version", () => {
  const { version } = JSON.parse(readFileSync(join(WEB, "package.json"), "utf8"));
  for (const file of ["examples/cdn/index.html", "README.md"]) {
    const named = readFileSync(join(WEB, file), "utf8").matchAll(/@gpt2-edge\/web@([\d.]+)/g);
    const versions = [...named].map(([, found]) => found);
    assert.ok(versions.length > 0 && versions.every((found) => found === version), file);
  }
});
