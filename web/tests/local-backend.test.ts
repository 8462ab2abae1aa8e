/** backends/local.js with a worker that the test answers for: what it loads, and when. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { beforeEach, test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { ROOT } from "./support.js";

interface Message {
  readonly id: number;
  readonly call?: string;
  readonly args?: readonly any[];
  readonly abort?: true;
}

const source = await readFile(
  `${ROOT}server/gpt2_edge_server/playground/backends/local.js`,
  "utf8",
);
// A data: URL is no base for the addresses of its workers.
const code = source.replaceAll("import.meta.url", '"https://example.org/page/backends/local.js"');
const { createBackend } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

class FakeWorker extends EventTarget {
  readonly messages: Message[] = [];
  constructor() {
    super();
    workers.push(this);
  }
  postMessage(message: Message): void {
    this.messages.push(message);
  }
  terminate(): void {}

  /** Answers the call of this name that came last. */
  answer(call: string, reply: object): void {
    const { id } = this.messages.findLast((message) => message.call === call)!;
    const event = Object.assign(new Event("message"), { data: { id, ...reply } });
    this.dispatchEvent(event);
  }
  die(): void {
    this.dispatchEvent(Object.assign(new Event("error"), { message: "out of memory" }));
  }
  calls(): (string | undefined)[] {
    return this.messages.map(({ call, abort }) => (abort ? "abort" : call));
  }
}

let workers: FakeWorker[] = [];
let stored: Map<string, string>;

/** A page at `address`, opened anew; what it stored stays until the next test. */
function visit(address = "https://example.org/page/"): any {
  workers = [];
  const url = new URL(address);
  const globals = {
    Worker: FakeWorker,
    document: { baseURI: url.href },
    location: url,
    navigator: {},
    history: {
      state: null,
      replaceState: (_: unknown, __: string, to: URL) => (url.href = to.href),
    },
    localStorage: {
      getItem: (key: string) => stored.get(key) ?? null,
      setItem: (key: string, value: string) => stored.set(key, value),
      removeItem: (key: string) => stored.delete(key),
    },
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return createBackend();
}

beforeEach(() => {
  stored = new Map();
});

const quiet = { onProgress: () => {}, signal: new AbortController().signal };

/** The address that the newest worker was last asked to load. */
const asked = (): string =>
  workers.at(-1)!.messages.findLast(({ call }) => call === "load")!.args![0].url;

async function loaded(backend: any): Promise<void> {
  const loading = backend.load(quiet);
  workers.at(-1)!.answer("load", { result: asked() });
  await loading;
}

test("another worker loads the package for all calls, though the first of them is aborted", async () => {
  const backend = visit();
  await loaded(backend);
  workers[0]!.die();
  const typing = new AbortController();
  const first = backend.next("It", { k: 5, signal: typing.signal });
  await setImmediate();
  assert.deepEqual(workers[1]!.calls(), ["load"]);
  typing.abort();
  await assert.rejects(first, { name: "AbortError" });
  const second = backend.next("It was", { k: 5, signal: quiet.signal });
  await setImmediate();
  assert.deepEqual(workers[1]!.calls(), ["load"]); // nothing ended it, and it is not asked for twice
  workers[1]!.answer("load", { result: asked() });
  await setImmediate();
  assert.deepEqual(workers[1]!.calls(), ["load", "next"]);
  workers[1]!.answer("next", { result: "options" });
  assert.equal(await second, "options");
});

test("a load that fails in another worker is tried again by the next call", async () => {
  const backend = visit();
  await loaded(backend);
  workers[0]!.die();
  const first = backend.tokenize("It");
  await setImmediate();
  workers[1]!.answer("load", { error: { name: "Error", message: "no network" } });
  await assert.rejects(first, /No network\./);
  const second = backend.tokenize("It");
  await setImmediate();
  workers[1]!.answer("load", { result: asked() });
  await setImmediate();
  workers[1]!.answer("tokenize", { result: 1 });
  assert.equal(await second, 1);
});

test("what is chosen meanwhile takes the place of the package that another worker loads", async () => {
  const backend = visit();
  await loaded(backend);
  workers[0]!.die();
  const waiting = backend.tokenize("It");
  await setImmediate();
  backend.choosePackage({ url: "other/" });
  const loading = backend.load(quiet);
  assert.deepEqual(workers[1]!.calls(), ["load", "abort", "load"]);
  const typed = backend.tokenize("It was");
  const [before] = workers[1]!.messages;
  const error = { name: "AbortError", message: "aborted" };
  workers[1]!.dispatchEvent(
    Object.assign(new Event("message"), { data: { id: before!.id, error } }),
  );
  await assert.rejects(waiting, { name: "AbortError" });
  assert.match(asked(), /other\/$/);
  workers[1]!.answer("load", { result: asked() });
  await loading;
  await setImmediate();
  workers[1]!.answer("tokenize", { result: 2 });
  assert.equal(await typed, 2);
  assert.deepEqual(workers[1]!.calls(), ["load", "abort", "load", "tokenize"]);
});

/** Answers the load that was asked for last with a failure. */
async function fails(loading: Promise<unknown>, message: string): Promise<unknown> {
  const outcome = loading.catch((error: unknown) => error);
  workers.at(-1)!.answer("load", { error: { name: "PackageError", message } });
  await setImmediate();
  return outcome;
}

test("a link with a package is for one visit, a choice for the next ones of this playground", async () => {
  await loaded(visit("https://example.org/page/?package=https://other.org/p/"));
  assert.equal(asked(), "https://other.org/p/");
  const backend = visit();
  await loaded(backend);
  assert.equal(asked(), "https://example.org/page/package/");
  backend.choosePackage({ url: "mine/" });
  await loaded(backend);
  await loaded(visit("https://example.org/page/index.html"));
  assert.equal(asked(), "https://example.org/page/mine/");
  await loaded(visit("https://example.org/another/"));
  assert.equal(asked(), "https://example.org/another/package/");
});

test("a package from disk that is kept no more gives way to the page's own", async () => {
  const first = visit();
  first.choosePackage({ files: [] });
  const loading = first.load(quiet);
  workers[0]!.answer("load", { result: "https://disk.gpt2-edge.invalid/1/" });
  await loading;

  const bare = visit(); // a page without a package of its own
  const inVain = bare.load(quiet);
  assert.match(asked(), /\.invalid/);
  const failure = fails(inVain, "it is kept no more");
  await setImmediate();
  assert.match(asked(), /page\/package\/$/);
  workers[0]!.answer("load", { error: { name: "PackageError", message: "no manifest.json" } });
  assert.match(String(await failure), /It is kept no more\./);

  const backend = visit();
  const again = backend.load(quiet);
  const outcome = fails(again, "it is kept no more");
  await setImmediate();
  workers[0]!.answer("load", { result: asked() });
  assert.equal(await outcome, undefined);
  await loaded(visit());
  assert.match(asked(), /page\/package\/$/);
});

test("where the package of the last visit does not load, the page's own is offered", async () => {
  const first = visit();
  first.choosePackage({ url: "https://other.org/p/" });
  await loaded(first);
  const backend = visit();
  assert.equal(backend.packageAddress, "https://other.org/p/");
  assert.match(String(await fails(backend.load(quiet), "it is gone")), /It is gone\./);
  assert.equal(backend.packageAddress, "package/");
  await loaded(backend); // "Try again" is meant for what failed
  assert.equal(asked(), "https://other.org/p/");
  assert.equal(backend.packageAddress, "https://other.org/p/");
});

test("an address that is none is told by the load", async () => {
  const backend = visit();
  backend.choosePackage({ url: "https://" });
  await assert.rejects(backend.load(quiet), /“https:\/\/” is no address of a package\./);
});

test("what an earlier version kept for all playgrounds of a site is neither loaded nor kept", async () => {
  stored.set("gpt2-edge/package", "https://other.org/p/");
  stored.set("gpt2-edge/packages", "not ours");
  await loaded(visit());
  assert.equal(asked(), "https://example.org/page/package/");
  assert.deepEqual([...stored.keys()], ["gpt2-edge/packages", "gpt2-edge/package/page/"]);
});
