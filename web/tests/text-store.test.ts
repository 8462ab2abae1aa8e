/** The playground's text: marks, history, and where it is kept. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { ROOT } from "./support.js";

// The page's modules have no package.json beside them, which Node would need to know them as modules.
const source = (name: string) =>
  readFile(`${ROOT}server/gpt2_edge_server/playground/${name}.js`, "utf8");
const load = async (name: string) =>
  import(`data:text/javascript,${encodeURIComponent(await source(name))}`);
const { TextStore, difference, moveMarks, runs, MOST_REMEMBERED } = await load("text-store");
const { Sessions, MOST_SESSIONS } = await load("sessions");

const marked = (store: any): string[] =>
  store.marks.map(([start, end]: [number, number]) => store.text.slice(start, end));

test("typing is one step a word; what the model wrote is marked and a step of its own", () => {
  const store = new TextStore();
  let now = 0;
  const type = (text: string) => {
    for (const letter of text) {
      const at = store.text.length;
      store.type(store.text + letter, at + 1, (now += 50));
    }
  };
  type("It was");
  for (const piece of [" a", " dark", " night"]) {
    const end = store.text.length;
    store.replace(end, end, piece, { generated: true, group: "text 1" });
  }
  assert.equal(store.text, "It was a dark night");
  assert.deepEqual(marked(store), [" a dark night"]);

  store.type("It was a very dark night", 14, (now += 50));
  assert.deepEqual(marked(store), [" a ", "dark night"]);
  const texts = [];
  while (store.undo()) texts.push(store.text);
  assert.deepEqual(texts, ["It was a dark night", "It was", "It", ""]);
  assert.deepEqual(store.marks, []);
  while (store.redo());
  assert.equal(store.text, "It was a very dark night");
  assert.deepEqual(marked(store), [" a ", "dark night"]);
});

test("an edit after Undo loses nothing: Undo passes what was taken back", () => {
  const store = new TextStore();
  store.replace(0, 0, "one");
  store.replace(3, 3, " two", { generated: true });
  store.undo();
  store.type("one!", 4, 10);
  assert.equal(store.canRedo, false);
  const texts = [];
  while (store.undo()) texts.push([store.text, ...marked(store)]);
  assert.deepEqual(texts, [["one"], ["one two", " two"], ["one"], [""]]);
});

test("a pause, or another place, begins a step", () => {
  const store = new TextStore();
  store.type("a", 1, 0);
  store.type("ab", 2, 100);
  store.type("abc", 3, 9000);
  store.type("xabc", 1, 9100);
  const texts = [];
  while (store.undo()) texts.push(store.text);
  assert.deepEqual(texts, ["abc", "ab", ""]);
});

test("a difference ends at the caret, and splits no character", () => {
  assert.deepEqual(difference("aa", "aaa", 1), { start: 0, removed: "", inserted: "a" });
  assert.deepEqual(difference("aa", "aaa", 3), { start: 2, removed: "", inserted: "a" });
  const { start, removed, inserted } = difference("a😀b", "a😁b", 3);
  assert.deepEqual([start, removed, inserted], [1, "😀", "😁"]);
});

test("whatever is edited, the way back and forth is exact, and marks stay in order", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  const store = new TextStore();
  for (let i = 0; i < 300; i += 1) {
    const start = random(store.text.length + 1);
    const end = Math.min(start + random(4), store.text.length);
    store.replace(start, end, ["", "a", "b c", "😀"][random(4)], { generated: random(2) === 1 });
    let last = -1;
    for (const [from, to] of store.marks) {
      assert.ok(from > last && to > from && to <= store.text.length, JSON.stringify(store.marks));
      last = to;
    }
    const parts = runs(store.text, store.marks).map((run: any) =>
      store.text.slice(run.start, run.end),
    );
    assert.equal(parts.join(""), store.text);
  }
  const final = JSON.stringify([store.text, store.marks]);
  let steps = 0;
  while (store.undo()) steps += 1;
  assert.equal(store.text, "");
  for (let i = 0; i < steps; i += 1) store.redo();
  assert.equal(JSON.stringify([store.text, store.marks]), final);
});

test("marks that meet become one; what is removed takes its marks along", () => {
  assert.deepEqual(moveMarks([[0, 3]], 3, 3, 2, true), [[0, 5]]);
  assert.deepEqual(moveMarks([[2, 6]], 0, 4, 0, false), [[0, 2]]);
  assert.deepEqual(moveMarks([[2, 6]], 1, 8, 1, false), []);
  assert.deepEqual(
    moveMarks(
      [
        [0, 2],
        [4, 6],
      ],
      2,
      4,
      0,
      false,
    ),
    [[0, 4]],
  );
});

test("the history is bounded, and the last step stays however large it is", () => {
  const store = new TextStore();
  for (let i = 0; i < 5; i += 1) store.become(String(i).repeat(MOST_REMEMBERED / 4));
  let steps = 0;
  while (store.undo()) steps += 1;
  assert.ok(steps >= 1 && steps < 5, `${steps} steps`);
  const large = new TextStore();
  large.become("x".repeat(2 * MOST_REMEMBERED));
  assert.equal(large.undo(), true);
  assert.equal(large.text, "");
});

/** Storage as browsers have it, of so many code units. */
class FakeStorage {
  readonly items = new Map<string, string>();
  constructor(readonly room = Infinity) {}
  get length() {
    return this.items.size;
  }
  key(index: number) {
    return [...this.items.keys()][index] ?? null;
  }
  getItem(key: string) {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string) {
    let used = key.length + value.length;
    for (const [other, held] of this.items) if (other !== key) used += other.length + held.length;
    if (used > this.room) throw new Error("QuotaExceededError");
    this.items.set(key, value);
  }
  removeItem(key: string) {
    this.items.delete(key);
  }
}

/** The locks of one tab; `all` are those of all. */
function tabLocks(all: Map<string, object>) {
  const tab = {};
  return {
    async take(id: string) {
      if (!all.has(id)) all.set(id, tab);
      return all.get(id) === tab;
    },
    release(id: string) {
      if (all.get(id) === tab) all.delete(id);
    },
    async taken() {
      return new Set(all.keys());
    },
  };
}

const textOf = (text: string) => {
  const store = new TextStore();
  store.become(text);
  return store.saved();
};

test("each tab has a text of its own; a new visit goes on with the newest", async () => {
  const storage = new FakeStorage();
  const locks = new Map<string, object>();
  const first = new Sessions(storage, new FakeStorage(), tabLocks(locks));
  assert.equal(await first.open(), undefined);
  await first.keep(textOf("one"), 1);
  const second = new Sessions(storage, new FakeStorage(), tabLocks(locks));
  assert.equal(await second.open(), undefined);
  await second.keep(textOf("two"), 2);
  assert.deepEqual(
    first.list().map((kept: any) => kept.saved.text),
    ["two", "one"],
  );

  locks.clear();
  const later = new Sessions(storage, new FakeStorage(), tabLocks(locks));
  assert.equal((await later.open()).text, "two");
  assert.equal(later.id, second.id);
});

test("a reloaded tab has its text; a copied tab goes on with a copy", async () => {
  const storage = new FakeStorage();
  const locks = new Map<string, object>();
  const own = new FakeStorage();
  const tab = new Sessions(storage, own, tabLocks(locks));
  await tab.open();
  await tab.keep(textOf("mine"), 1);
  const copy = new Sessions(storage, new FakeStorage(), tabLocks(locks));
  copy.own.setItem("gpt2-edge/session", tab.id);
  assert.equal((await copy.open()).text, "mine");
  assert.notEqual(copy.id, tab.id);
  locks.clear();
  const reloaded = new Sessions(storage, own, tabLocks(locks));
  assert.equal((await reloaded.open()).text, "mine");
  assert.equal(reloaded.id, tab.id);
});

test("where room is short, history goes before texts, and open texts stay", async () => {
  const storage = new FakeStorage(6000);
  const locks = new Map<string, object>();
  const sessions = new Sessions(storage, new FakeStorage(), tabLocks(locks));
  await sessions.open();
  const store = new TextStore();
  for (let i = 0; i < 10; i += 1) store.become(String(i).repeat(1000));
  assert.equal(await sessions.keep(store.saved(), 1), true);
  assert.equal(sessions.list()[0].saved.text, store.text);
  assert.equal(await sessions.keep(textOf("x".repeat(9000)), 2), false);
  assert.equal(sessions.list()[0].saved.text, store.text);
});

test("the oldest texts go when there are too many, and what is not ours is left alone", async () => {
  const storage = new FakeStorage();
  storage.setItem("gpt2-edge/text/broken", "{");
  storage.setItem("another page's", "1");
  for (let i = 0; i < MOST_SESSIONS + 5; i += 1) {
    const sessions = new Sessions(storage, new FakeStorage(), tabLocks(new Map([["x", {}]])));
    await sessions.open();
    await sessions.part();
    await sessions.keep(textOf(`text ${i}`), i);
  }
  const kept = new Sessions(storage, new FakeStorage(), tabLocks(new Map())).list();
  assert.ok(kept.length <= MOST_SESSIONS, `${kept.length}`);
  assert.equal(kept[0].saved.text, `text ${MOST_SESSIONS + 4}`);
  assert.equal(storage.getItem("another page's"), "1");
});

/** Texts of earlier visits, "text 0" the oldest; there is room for two more. */
const fullShelf = (room = Infinity) => {
  const storage = new FakeStorage(room);
  for (let i = 0; i < MOST_SESSIONS - 2; i += 1) {
    const kept = { time: i, ...textOf(`text ${i}`) };
    storage.setItem(`gpt2-edge/text/id${i}`, JSON.stringify(kept));
  }
  return storage;
};
const textsOf = (sessions: any) =>
  new Set<string>(sessions.list().map((kept: any) => kept.saved.text));

test("going to and fro between texts, or opening one link again and again, removes no other", async () => {
  const storage = fullShelf();
  const tab = new Sessions(storage, new FakeStorage(), tabLocks(new Map()));
  let gone = 0;
  tab.onGone = () => (gone += 1);
  await tab.open();
  const before = textsOf(tab);
  for (let i = 0; i < 30; i += 1) {
    const text = `text ${i % 2}`;
    await tab.move(`id${i % 2}`, text);
    assert.equal(tab.id, `id${i % 2}`);
    await tab.keep(textOf(text), 100 + i);
  }
  assert.deepEqual(textsOf(tab), before);
  assert.equal(storage.length, MOST_SESSIONS - 2);
  for (let i = 0; i < 30; i += 1) {
    await tab.part();
    await tab.keep(textOf("of the link"), 200 + i);
  }
  assert.deepEqual(textsOf(tab), new Set([...before, "of the link"]));
  assert.equal(gone, 0);
  await tab.part();
  await tab.keep(textOf("one more"), 300);
  await tab.part();
  assert.ok(!textsOf(tab).has("text 2"));
  assert.equal(gone, 1);
});

test("a text that a tab has open, or has changed, is gone on with under another name", async () => {
  const storage = fullShelf();
  const locks = new Map<string, object>();
  const one = new Sessions(storage, new FakeStorage(), tabLocks(locks));
  const two = new Sessions(storage, new FakeStorage(), tabLocks(locks));
  await one.open();
  await two.open();
  await one.move("id3", "text 3");
  assert.equal(one.id, "id3");
  await two.move("id3", "text 3");
  assert.notEqual(two.id, "id3");
  await one.keep(textOf("text 3 goes on"), 100);
  await one.part();
  await two.move("id3", "text 3");
  await two.keep(textOf("text 3"), 101);
  assert.ok(textsOf(one).has("text 3 goes on"));
  await two.move("id3", "text 3 goes on");
  assert.equal(two.id, "id3");
});

test("what is kept while a tab waits for another text's lock leaves no copy behind", async () => {
  const storage = fullShelf();
  const locks = tabLocks(new Map());
  const tab = new Sessions(storage, new FakeStorage(), locks);
  await tab.open();
  await tab.move("id1", "text 1");
  const before = textsOf(tab);
  const { take } = locks;
  const saves = [textOf("text 1"), textOf("typed meanwhile")];
  for (const [i, saved] of saves.entries()) {
    locks.take = async (id: string) => {
      if (id === "id0") await tab.keep(saved, 100 + i); // as the timer of app.js does
      return take(id);
    };
    await tab.move("id0", "text 0");
    assert.equal(tab.id, "id0");
    locks.take = take;
    await tab.move("id1", "text 1");
  }
  // The copy is gone; what is nowhere else is not.
  assert.deepEqual(textsOf(tab), new Set([...before, "typed meanwhile"]));
  assert.equal(storage.length, before.size + 1);
});

test("Undo and Redo of another text tell whose it is, also after a visit", () => {
  const store = new TextStore();
  store.become("one");
  store.become("two", [], ["first", "second"]);
  const later = new TextStore(JSON.parse(JSON.stringify(store.saved())));
  const homes: string[] = [];
  later.onHome = (id: string) => homes.push(`${id}: ${later.text}`);
  later.undo();
  later.redo();
  later.undo();
  later.type("one!", 4, 10);
  later.undo();
  later.undo();
  assert.deepEqual(homes, ["first: one", "second: two", "first: one", "second: two"]);
});

test("a full storage: the history of others goes, then the oldest text alone, and nothing in vain", async () => {
  const shelf = (room = Infinity) => {
    const storage = new FakeStorage(room);
    for (let i = 0; i < 4; i += 1) {
      const store = new TextStore();
      store.become("h".repeat(1000));
      store.become(`text ${i}`);
      const kept = { time: i, ...store.saved() };
      storage.setItem(`gpt2-edge/text/id${i}`, JSON.stringify(kept));
    }
    return storage;
  };
  let used = 0;
  for (const [key, held] of shelf().items) used += key.length + held.length;
  const visit = async () => {
    const storage = shelf(used + 500);
    const tab = new Sessions(storage, new FakeStorage(), tabLocks(new Map([["id3", {}]])));
    let gone = 0;
    tab.onGone = () => (gone += 1);
    await tab.open();
    return { storage, tab, gone: () => gone };
  };
  const all = ["text 0", "text 1", "text 2", "text 3"];

  const history = await visit();
  const mine = "m".repeat(2000);
  assert.equal(await history.tab.keep(textOf(mine), 10), true);
  assert.deepEqual([...textsOf(history.tab)].sort(), [mine, ...all].sort());
  assert.equal(history.tab.list().filter((kept: any) => kept.saved.past.length).length, 3);
  assert.equal(history.gone(), 0);

  const oldest = await visit();
  const open = oldest.storage.getItem("gpt2-edge/text/id3")!;
  const bare = JSON.stringify({ time: 10, ...textOf(""), past: [], future: [] }).length;
  const entry = bare + "gpt2-edge/text/id3".length; // of a short text, without its history
  const free = oldest.storage.room - open.length - "gpt2-edge/text/id3".length - 3 * entry;
  const large = "l".repeat(free - entry + entry / 2);
  assert.equal(await oldest.tab.keep(textOf(large), 10), true);
  assert.ok(!textsOf(oldest.tab).has("text 0"));
  assert.ok(textsOf(oldest.tab).has("text 2") && textsOf(oldest.tab).has("text 3"));
  assert.equal(oldest.storage.getItem("gpt2-edge/text/id3"), open);
  assert.equal(oldest.gone(), 1);

  const vain = await visit();
  const before = new Map(vain.storage.items);
  assert.equal(await vain.tab.keep(textOf("v".repeat(20_000)), 10), false);
  assert.deepEqual(vain.storage.items, before);
  assert.equal(vain.gone(), 0);
});

test("a large text that was removed comes back by Undo after the next words", () => {
  const large = "x".repeat(2 * MOST_REMEMBERED);
  const store = new TextStore();
  store.become(large);
  store.type("", 0, 10_000);
  let now = 20_000;
  for (const letter of "two words")
    store.type(store.text + letter, store.text.length + 1, (now += 50));
  const texts = [];
  while (store.undo()) texts.push(store.text);
  assert.ok(texts.includes(large), `${texts.map((text) => text.length)}`);
});

test("the marks of a step count as what is remembered", () => {
  const store = new TextStore();
  const words = MOST_REMEMBERED / 100;
  const marks = Array.from({ length: words }, (_, i) => [2 * i, 2 * i + 1]);
  store.become("ab".repeat(words), marks);
  for (let i = 0; i < 100; i += 1) store.replace(0, 0, "c");
  let steps = 0;
  while (store.undo()) steps += 1;
  assert.ok(steps < 20, `${steps} steps`);
});
