/**
 * Where texts are kept between visits: localStorage, a key for each session. A tab has one session
 * to itself, held by a Web Lock for as long as the tab lives, so no tab writes over another's text.
 *
 * @typedef {import("./text-store.js").Saved} Saved
 * @typedef {import("./text-store.js").Step} Step
 * @typedef {import("./storage.js").Shelf} Shelf
 * @typedef {{id: string, time: number, saved: Saved}} Kept
 */

const PREFIX = "gpt2-edge/text/";
const OWN = "gpt2-edge/session";
/** How many texts are kept; the oldest that no tab has open go. */
export const MOST_SESSIONS = 12;
/** How long a reloaded page waits for the lock of the page it was, in ms. */
const HANDOVER = 2000;

/**
 * @typedef {object} Locks  Who has which session open, in all tabs.
 * @property {(id: string, wait: number) => Promise<boolean>} take
 * @property {(id: string) => void} release
 * @property {() => Promise<Set<string>>} taken
 */

export class Sessions {
  /**
   * @param {Shelf} storage  What all tabs share.
   * @param {Shelf} own      What this tab keeps over a reload.
   * @param {Locks} locks
   */
  constructor(storage, own, locks) {
    this.storage = storage;
    this.own = own;
    this.locks = locks;
    this.id = "";
    /** Called when a text that is nowhere else had to go. */
    this.onGone = () => {};
  }

  /**
   * The session of this tab: the one it had before a reload, else the newest unless a tab has it
   * open. A copy of a tab goes on with a copy of its text. Undefined: a text of its own, new.
   * @returns {Promise<Saved | undefined>}
   */
  async open() {
    const before = this.own.getItem(OWN);
    if (before) {
      const saved = this.read(before)?.saved;
      await this.hold((await this.locks.take(before, HANDOVER)) ? before : newId());
      return saved;
    }
    const newest = this.list()[0];
    const free = newest && (await this.locks.take(newest.id, 0));
    await this.hold(free ? newest.id : newId());
    return free ? newest.saved : undefined;
  }

  /** @private @param {string} id */
  async hold(id) {
    this.enter(id);
    await this.locks.take(id, 0);
    await this.makeRoom(MOST_SESSIONS);
  }

  /** What this tab had is free for others. @private @param {string} id */
  enter(id) {
    if (this.id && this.id !== id) this.locks.release(this.id);
    this.id = id;
    this.own.setItem(OWN, id);
  }

  /**
   * Removes the text of `id` where another session has the same: what was on the page while a lock
   * was waited for is kept where it came from.
   * @private
   * @param {string} id
   */
  removeRepeated(id) {
    const text = this.read(id)?.saved.text;
    if (text === undefined) return;
    const repeated = this.list().some((kept) => kept.id !== id && kept.saved.text === text);
    if (repeated) this.storage.removeItem(PREFIX + id);
  }

  /** Goes on under another name: another text begins, or another tab wrote to this one. */
  async part() {
    await this.hold(newId());
  }

  /**
   * Goes on with the session `id`, whose text is `text`; where a tab has it open, or went on with
   * it, under another name.
   * @param {string} id
   * @param {string} text
   */
  async move(id, text) {
    if (id === this.id) return;
    const meanwhile = newId(); // what is kept before the lock is there must not land in either
    this.enter(meanwhile);
    const kept = this.read(id)?.saved.text ?? text;
    const free = kept === text && (await this.locks.take(id, 0));
    if (this.id === meanwhile) {
      if (free) {
        this.enter(id);
        this.removeRepeated(meanwhile);
      } else await this.hold(meanwhile);
    } else if (free && id !== this.id) {
      this.locks.release(id); // it went elsewhere in the meantime
    }
  }

  /**
   * Keeps `saved`, with as much of its history as there is room for; before the first await, where
   * there is room: a page that is being closed waits for nothing. False: there is none even for the
   * text.
   * @param {Saved} saved
   * @param {number} now  ms since 1970
   */
  async keep(saved, now) {
    if (!this.id || (!saved.text && !saved.past.length && !saved.future.length)) return true;
    for (const part of [1, 0.25, 0]) {
      const least = {
        ...saved,
        past: newest(saved.past, part),
        future: newest(saved.future, part),
      };
      if (this.put(this.id, { time: now, ...least })) return true;
    }
    const taken = await this.locks.taken();
    return this.squeeze({ time: now, ...saved, past: [], future: [] }, taken);
  }

  /**
   * Puts `value` in place of as little as will do: the history of others first, then texts, one at a
   * time. Where nothing will do, all of them are as they were.
   * @private
   * @param {Saved & {time: number}} value
   * @param {Set<string>} taken
   */
  squeeze(value, taken) {
    const { id } = this;
    const found = this.list();
    const others = this.removable(found, taken);
    const before = others.map((kept) => this.storage.getItem(PREFIX + kept.id) ?? "");
    for (const { id: other, time, saved } of others) {
      if (!saved.past.length && !saved.future.length) continue;
      this.put(other, { ...saved, time, past: [], future: [] });
      if (this.put(id, value)) return true;
    }
    for (const kept of others) {
      this.storage.removeItem(PREFIX + kept.id);
      if (!this.put(id, value)) continue;
      const gone = others.slice(0, others.indexOf(kept) + 1);
      if (gone.some((one) => !repeats(found, one))) this.onGone();
      return true;
    }
    for (const [i, kept] of others.entries()) {
      this.storage.setItem(PREFIX + kept.id, before[i] ?? "");
    }
    return this.put(id, value);
  }

  /** The texts that are kept, the newest first. @returns {Kept[]} */
  list() {
    const found = [];
    for (let i = 0; i < this.storage.length; i += 1) {
      const key = this.storage.key(i);
      const kept = key?.startsWith(PREFIX) && this.read(key.slice(PREFIX.length));
      if (kept) found.push(kept);
    }
    return found.sort((a, b) => b.time - a.time);
  }

  /** Whether `key` of the storage is this tab's. @param {string | null} key */
  owns(key) {
    return key === PREFIX + this.id;
  }

  /** @private @param {number} most */
  async makeRoom(most) {
    if (this.list().filter(({ id }) => id !== this.id).length < most) return;
    const taken = await this.locks.taken();
    const found = this.list();
    let left = found.filter(({ id }) => id !== this.id).length;
    for (const kept of this.removable(found, taken)) {
      if (left < most) return;
      this.storage.removeItem(PREFIX + kept.id);
      left -= 1;
      if (!repeats(found, kept)) this.onGone();
    }
  }

  /**
   * What may go, in the order in which it goes: what a newer one repeats, then the oldest.
   * @private
   * @param {Kept[]} found  The newest first.
   * @param {Set<string>} taken
   */
  removable(found, taken) {
    const free = found.filter(({ id }) => id !== this.id && !taken.has(id)).toReversed();
    const repeated = free.filter((kept) => repeats(found, kept));
    return [...repeated, ...free.filter((kept) => !repeated.includes(kept))];
  }

  /** @private @param {string} id @param {object} value */
  put(id, value) {
    try {
      this.storage.setItem(PREFIX + id, JSON.stringify(value));
      return true;
    } catch {
      return false; // full, or forbidden
    }
  }

  /** @private @param {string} id @returns {Kept | undefined} */
  read(id) {
    try {
      const value = JSON.parse(this.storage.getItem(PREFIX + id) ?? "null");
      return isSaved(value) ? { id, time: Number(value.time) || 0, saved: value } : undefined;
    } catch {
      return undefined;
    }
  }
}

/**
 * Web Locks where the page may use them (https and localhost); elsewhere a session is held by
 * whoever has it, and app.js listens for others that write to it.
 * @returns {Locks}
 */
export function browserLocks() {
  const name = (/** @type {string} */ id) => PREFIX + id;
  /** What gives each lock back. @type {Map<string, () => void>} */
  const held = new Map();
  const { locks } = navigator;
  if (!locks) {
    return { take: async () => true, release() {}, taken: async () => new Set() };
  }
  return {
    take(id, wait) {
      if (held.has(id)) return Promise.resolve(true);
      return new Promise((resolve) => {
        const options = wait ? { signal: AbortSignal.timeout(wait) } : { ifAvailable: true };
        locks
          .request(name(id), options, (lock) => {
            resolve(lock !== null);
            if (lock === null) return undefined;
            // Held until it is released, or the page goes.
            return new Promise((/** @type {(value: void) => void} */ release) =>
              held.set(id, release),
            );
          })
          .catch(() => resolve(false));
      });
    },
    release(id) {
      held.get(id)?.();
      held.delete(id);
    },
    async taken() {
      const all = (await locks.query()).held ?? [];
      return new Set(all.map((lock) => lock.name?.slice(PREFIX.length) ?? ""));
    },
  };
}

/**
 * Whether a newer one of `found` has the same text.
 * @param {Kept[]} found  The newest first.
 * @param {Kept} kept
 */
function repeats(found, kept) {
  return found.find(({ saved }) => saved.text === kept.saved.text)?.id !== kept.id;
}

/** Random, and short: it only has to differ from a dozen others. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
}

/** @param {Step[]} steps @param {number} part */
function newest(steps, part) {
  return steps.slice(steps.length - Math.floor(steps.length * part));
}

/** @param {any} value @returns {value is Saved & {time: number}} */
function isSaved(value) {
  const marks = (/** @type {any} */ list) =>
    Array.isArray(list) && list.every((mark) => mark?.length === 2 && mark.every(Number.isInteger));
  const steps = (/** @type {any} */ list) =>
    Array.isArray(list) &&
    list.every(
      (step) =>
        Number.isInteger(step?.start) &&
        typeof step.removed === "string" &&
        typeof step.inserted === "string" &&
        step.marks?.length === 2 &&
        step.marks.every(marks) &&
        step.carets?.length === 2 &&
        step.carets.every(Number.isInteger) &&
        (step.homes === undefined ||
          (step.homes?.length === 2 &&
            step.homes.every((/** @type {any} */ id) => typeof id === "string"))),
    );
  return (
    typeof value?.text === "string" &&
    marks(value.marks) &&
    Number.isInteger(value.caret) &&
    steps(value.past) &&
    steps(value.future)
  );
}
