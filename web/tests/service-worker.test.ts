/** The service worker beside other playgrounds of the same site. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

import { WEB } from "./support.js";

const source = await readFile(`${WEB}local/service-worker.js`, "utf8");

/** Caches of a site by their names, each with what was put into it. */
type Caches = Map<string, string[]>;

/** Installs the build `VERSION` in `scope`, and lets it take over. */
async function update(found: Caches, scope: string, VERSION: string): Promise<void> {
  const handlers = new Map<string, (event: object) => void>();
  const caches = {
    async open(name: string) {
      if (!found.has(name)) found.set(name, []);
      const urls = found.get(name)!;
      return {
        addAll: async (added: { url: string }[]) => urls.push(...added.map(({ url }) => url)),
        keys: async () => urls.map((url) => ({ url })),
        delete: async (url: string) => urls.splice(urls.indexOf(url), 1).length > 0,
      };
    },
    keys: async () => [...found.keys()],
    delete: async (name: string) => found.delete(name),
  };
  runInNewContext(source, {
    VERSION,
    FILES: ["./"],
    caches,
    registration: { scope },
    addEventListener: (type: string, handler: (event: object) => void) =>
      handlers.set(type, handler),
    Request: class {
      readonly url: string;
      constructor(file: string) {
        this.url = new URL(file, scope).href;
      }
    },
  });
  for (const type of ["install", "activate"]) {
    let work: Promise<unknown> | undefined;
    handlers.get(type)!({ waitUntil: (promise: Promise<unknown>) => (work = promise) });
    await work;
  }
}

test("a build takes the place of the one before in its folder, and of no other playground", async () => {
  const found: Caches = new Map([["gpt2-edge-packages", []]]);
  await update(found, "https://example.org/one/", "old");
  await update(found, "https://example.org/one/inner/", "old");
  await update(found, "https://example.org/two/", "old");
  const [packages, one, inner, two] = [...found.keys()];
  assert.equal(found.size, 4);
  await update(found, "https://example.org/one/", "new");
  const names = [...found.keys()];
  assert.equal(names.length, 4);
  for (const name of [packages!, inner!, two!]) assert.ok(names.includes(name), name);
  assert.ok(!names.includes(one!));
});

test("what an earlier version kept for all playgrounds of a site is left to the others", async () => {
  const one = "https://example.org/one/";
  const inner = "https://example.org/one/inner/";
  const ours = [one, `${one}app.js`, `${one}views/next.js`];
  const theirs = [inner, `${inner}app.js`];
  const shared = "gpt2-edge-page-0123456789abcdef";
  const alone = "gpt2-edge-page-fedcba9876543210";
  const begun = "gpt2-edge-page-00000000000000ff"; // another page's, which is being installed
  const site = "gpt2-edge-page-of-somebody-else";
  const found: Caches = new Map([
    [shared, [...ours, ...theirs]],
    [alone, [...ours]],
    [begun, []],
    [site, [...ours]],
  ]);
  await update(found, one, "new");
  assert.deepEqual(found.get(shared), theirs);
  assert.deepEqual([...found.keys()].slice(0, -1), [shared, begun, site]);
  assert.deepEqual(found.get(site), ours);
  await update(found, inner, "new");
  assert.ok(!found.has(shared));
});
