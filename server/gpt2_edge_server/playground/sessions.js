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
    this.id = id;
    this.own.setItem(OWN, id);
    await this.locks.take(id, 0);
    await this.makeRoom(MOST_SESSIONS);
  }

  /** Goes on under another name: another tab wrote to this one. */
  async part() {
    await this.hold(newId());
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
    await this.makeRoom(1);
    return this.put(this.id, { time: now, ...saved, past: [], future: [] });
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
    const others = this.list().filter(({ id }) => id !== this.id);
    if (others.length < most) return;
    const taken = await this.locks.taken();
    for (const { id } of others.slice(most - 1)) {
      if (!taken.has(id)) this.storage.removeItem(PREFIX + id);
    }
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
  const held = new Set();
  const { locks } = navigator;
  if (!locks) return { take: async () => true, taken: async () => new Set() };
  return {
    take(id, wait) {
      if (held.has(id)) return Promise.resolve(true);
      return new Promise((resolve) => {
        const options = wait ? { signal: AbortSignal.timeout(wait) } : { ifAvailable: true };
        locks
          .request(name(id), options, (lock) => {
            resolve(lock !== null);
            if (lock === null) return undefined;
            held.add(id);
            return new Promise(() => {}); // held until the page goes
          })
          .catch(() => resolve(false));
      });
    },
    async taken() {
      const all = (await locks.query()).held ?? [];
      return new Set(all.map((lock) => lock.name?.slice(PREFIX.length) ?? ""));
    },
  };
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
        step.carets.every(Number.isInteger),
    );
  return (
    typeof value?.text === "string" &&
    marks(value.marks) &&
    Number.isInteger(value.caret) &&
    steps(value.past) &&
    steps(value.future)
  );
}
