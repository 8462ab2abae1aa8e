/**
 * The text, which of its words the model wrote, and every step that led to it. Pure: no page, no
 * storage (sessions.js keeps what `saved` returns).
 *
 * A step is what one edit replaced. Edits of one group (a word being typed, a text being written)
 * are one step. Undo loses nothing: an edit after an Undo puts the steps that were taken back, and
 * their way back, into the past, so that Undo passes them again.
 *
 * @typedef {[start: number, end: number]} Mark  A range of the text that the model wrote.
 * @typedef {object} Step
 * @property {number} start
 * @property {string} removed
 * @property {string} inserted
 * @property {[before: Mark[], after: Mark[]]} marks
 * @property {[before: number, after: number]} carets
 * @property {[before: string, after: string]=} homes  Of another text's coming: both's sessions.
 * @typedef {object} Saved
 * @property {string} text
 * @property {Mark[]} marks
 * @property {number} caret
 * @property {Step[]} past
 * @property {Step[]} future  The next one to redo is the last.
 */

/** How much is remembered: steps, and code units in them. */
export const MOST_STEPS = 1000;
export const MOST_REMEMBERED = 400_000;
/** A pause, in ms, after which typing is another step. */
const PAUSE = 1500;

export class TextStore {
  /** @param {Saved=} saved */
  constructor(saved) {
    this.text = saved?.text ?? "";
    this.marks = saved?.marks ?? [];
    this.caret = saved?.caret ?? 0;
    /** @private @type {Step[]} */
    this.past = saved?.past ?? [];
    /** @private @type {Step[]} */
    this.future = saved?.future ?? [];
    /** The group that the last step may still grow with. @private */
    this.group = { name: "", time: 0, text: "", marks: /** @type {Mark[]} */ ([]), caret: 0 };
    /** @private @type {Set<() => void>} */
    this.listeners = new Set();
    /** Called when a step leads to the text of another session. @type {(id: string) => void} */
    this.onHome = () => {};
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  /**
   * Calls `listener` after every change.
   * @param {() => void} listener
   */
  onChange(listener) {
    this.listeners.add(listener);
  }

  /**
   * What somebody typed: the text is now `text`, the caret behind what changed.
   * @param {string} text
   * @param {number} caret
   * @param {number} now  ms
   * @param {string} group  Of an input method's composition: all of it is one step.
   */
  type(text, caret, now, group = "") {
    const { start, removed, inserted } = difference(this.text, text, caret);
    if (!removed && !inserted) {
      this.caret = caret;
      return;
    }
    const beginsWord = /^\s/.test(inserted) && /\S$/.test(this.text.slice(0, start));
    const goesOn =
      now - this.group.time < PAUSE &&
      !beginsWord &&
      (inserted ? start : start + removed.length) === this.caret;
    const name = group || (inserted ? "typing" : "deleting");
    if (!goesOn && !group) this.group.name = "";
    this.replace(start, start + removed.length, inserted, { group: name, now, caret });
  }

  /**
   * Puts `inserted` in place of the text from `start` to `end`. The edits of one `group` that follow
   * each other are one step.
   * @param {number} start
   * @param {number} end
   * @param {string} inserted
   * @param {{generated?: boolean, group?: string, now?: number, caret?: number}} options
   */
  replace(start, end, inserted, options = {}) {
    const { generated = false, group = "", now = 0, caret = start + inserted.length } = options;
    this.keepFuture();
    if (!group || this.group.name !== group || !this.past.length) {
      const { text, marks, caret: from } = this;
      this.group = { name: group, time: now, text, marks, caret: from };
      this.past.push({ start: 0, removed: "", inserted: "", marks: [[], []], carets: [0, 0] });
    }
    this.group.time = now;
    this.text = this.text.slice(0, start) + inserted + this.text.slice(end);
    this.marks = moveMarks(this.marks, start, end, inserted.length, generated);
    this.caret = caret;
    const base = this.group;
    const changed = difference(base.text, this.text, caret);
    const sameMarks = String(base.marks) === String(this.marks);
    if (!changed.removed && !changed.inserted && sameMarks) {
      this.past.pop();
      base.name = "";
    } else {
      this.past[this.past.length - 1] = {
        ...changed,
        marks: [base.marks, this.marks],
        carets: [base.caret, caret],
      };
      this.forget();
    }
    this.changed();
  }

  /**
   * The whole text becomes another one: a step like any other.
   * @param {string} text
   * @param {Mark[]} marks
   * @param {[before: string, after: string]=} homes
   */
  become(text, marks = [], homes) {
    if (text === this.text) return;
    this.replace(0, this.text.length, text);
    const step = this.past.at(-1);
    if (step) step.marks[1] = marks;
    if (step && homes) step.homes = homes;
    this.marks = marks;
    this.changed();
  }

  /** The next edit begins a step of its own. */
  endStep() {
    this.group.name = "";
  }

  undo() {
    const step = this.past.pop();
    if (!step) return false;
    this.future.push(step);
    this.apply(inverse(step));
    return true;
  }

  redo() {
    const step = this.future.pop();
    if (!step) return false;
    this.past.push(step);
    this.apply(step);
    return true;
  }

  /** @returns {Saved} */
  saved() {
    const { text, marks, caret, past, future } = this;
    return { text, marks, caret, past, future };
  }

  /** @private @param {Step} step */
  apply({ start, removed, inserted, marks, carets, homes }) {
    this.text = this.text.slice(0, start) + inserted + this.text.slice(start + removed.length);
    this.marks = marks[1];
    this.caret = carets[1];
    this.endStep();
    if (homes) this.onHome(homes[1]);
    this.changed();
  }

  /** Steps that were undone go into the past, there and back. @private */
  keepFuture() {
    if (!this.future.length) return;
    const forward = this.future.toReversed();
    this.past.push(...forward, ...this.future.map(inverse));
    this.future = [];
    this.endStep();
  }

  /** The oldest steps go when there are too many; the largest, a text replaced, is free. @private */
  forget() {
    let size = 0;
    let largest = 0;
    let first = this.past.length;
    while (first > 0) {
      const step = this.past[first - 1];
      const own = step ? sizeOf(step) : 0;
      size += own;
      largest = Math.max(largest, own);
      const kept = this.past.length - first;
      if (kept > 0 && (size - largest > MOST_REMEMBERED || kept >= MOST_STEPS)) break;
      first -= 1;
    }
    if (first > 0) this.past.splice(0, first);
  }

  /** @private */
  changed() {
    for (const listener of this.listeners) listener();
  }
}

/** In code units, as it is kept; a mark is like "[12345,12399],". @param {Step} step */
function sizeOf({ removed, inserted, marks }) {
  return removed.length + inserted.length + 14 * (marks[0].length + marks[1].length);
}

/** @param {Step} step @returns {Step} */
function inverse({ start, removed, inserted, marks, carets, homes }) {
  return {
    start,
    removed: inserted,
    inserted: removed,
    marks: [marks[1], marks[0]],
    carets: [carets[1], carets[0]],
    ...(homes ? { homes: [homes[1], homes[0]] } : {}),
  };
}

/**
 * What was replaced to make `after` of `before`. Of several answers ("aa" to "aaa") it is the one
 * that ends at the caret. No surrogate pair is split.
 * @param {string} before
 * @param {string} after
 * @param {number} caret  In `after`.
 */
export function difference(before, after, caret = after.length) {
  const most = Math.min(before.length, after.length);
  let tail = 0;
  const tailMost = Math.min(most, Math.max(after.length - caret, 0));
  while (tail < tailMost && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  let start = 0;
  while (start < most - tail && before[start] === after[start]) start += 1;
  // What is common may go on before the caret: of a text that was cut short at its beginning.
  while (tail < most - start && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  if (start > 0 && /[\ud800-\udbff]/.test(after[start - 1] ?? "")) start -= 1;
  if (tail > 0 && /[\udc00-\udfff]/.test(after.at(-tail) ?? "")) tail -= 1;
  return {
    start,
    removed: before.slice(start, before.length - tail),
    inserted: after.slice(start, after.length - tail),
  };
}

/**
 * The marks after `inserted` code units took the place of those from `start` to `end`. Words typed
 * into generated ones part them.
 * @param {readonly Mark[]} marks  Sorted, apart.
 * @param {number} start
 * @param {number} end
 * @param {number} inserted
 * @param {boolean} generated
 * @returns {Mark[]}
 */
export function moveMarks(marks, start, end, inserted, generated) {
  const shift = inserted - (end - start);
  /** @type {Mark[]} */
  const pieces = [];
  for (const [from, to] of marks) {
    if (from < start) pieces.push([from, Math.min(to, start)]);
  }
  if (generated && inserted) pieces.push([start, start + inserted]);
  for (const [from, to] of marks) {
    if (to > end) pieces.push([Math.max(from, end) + shift, to + shift]);
  }
  /** @type {Mark[]} */
  const joined = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last && last[1] >= piece[0]) joined[joined.length - 1] = [last[0], piece[1]];
    else joined.push(piece);
  }
  return joined;
}

/**
 * The text as runs, generated or not, in order.
 * @param {string} text
 * @param {readonly Mark[]} marks
 * @returns {{start: number, end: number, generated: boolean}[]}
 */
export function runs(text, marks) {
  const found = [];
  let position = 0;
  for (const [start, end] of marks) {
    if (start > position) found.push({ start: position, end: start, generated: false });
    found.push({ start, end, generated: true });
    position = end;
  }
  if (position < text.length) found.push({ start: position, end: text.length, generated: false });
  return found;
}
