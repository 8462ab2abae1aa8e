/**
 * A text as a line of tokens, each of which can be pointed at, tapped, or reached by arrow keys; a
 * range of them is chosen by dragging, or with Shift. Tokens inside one character are one unit.
 *
 * @typedef {{start: number, end: number, text: string, tokens: number[]}} Unit
 *   tokens: positions in the model's list of them.
 */

import { el } from "./dom.js";

export class TokenLine {
  /**
   * @param {string} name  Of the ids.
   * @param {string} label
   * @param {(index: number) => void} onActive  A unit is pointed at; it stays after a tap or a key.
   * @param {(range: [number, number] | undefined) => void} onRange  Units from, to and with.
   */
  constructor(name, label, onActive, onRange) {
    this.name = name;
    this.onActive = onActive;
    this.onRange = onRange;
    /** @type {Unit[]} */
    this.units = [];
    /** @type {HTMLElement[]} */
    this.spans = [];
    /** The one that stays when the mouse goes. */
    this.pinned = -1;
    /** @private */
    this.anchor = -1;
    this.list = el("span", { role: "listbox", tabindex: 0, class: "tokens", "aria-label": label });
    this.dropped = el("span", { class: "dropped" });
    this.element = el("div", { class: "token-text", dir: "auto" }, this.dropped, this.list);
    this.list.addEventListener("pointerover", (event) => {
      if (event.pointerType === "mouse") this.point(this.indexOf(event.target));
    });
    this.list.addEventListener("pointerleave", () => this.point(this.pinned));
    this.list.addEventListener("click", (event) => {
      const index = this.indexOf(event.target);
      if (index >= 0) this.pin(index);
    });
    this.list.addEventListener("focus", () => this.point(this.pinned));
    this.list.addEventListener("keydown", (event) => {
      if (this.key(event)) event.preventDefault();
    });
    document.addEventListener("selectionchange", () => this.dragged());
  }

  /**
   * @param {string} text
   * @param {readonly import("./backend.js").Token[]} tokens
   * @param {number} dropped  Code units of the beginning that the model did not see.
   */
  show(text, tokens, dropped) {
    this.units = units(text, tokens);
    this.dropped.textContent = text.slice(0, this.units[0]?.start ?? dropped);
    this.spans = this.units.map((unit, i) =>
      el("span", { role: "option", class: "token", id: `${this.name}-${i}` }, ...faces(unit.text)),
    );
    for (const [i, span] of this.spans.entries()) {
      if (/\n/.test(this.units[i]?.text ?? "")) span.classList.add("breaks");
    }
    this.list.replaceChildren(...this.spans);
    this.list.hidden = this.spans.length === 0;
    this.pinned = this.anchor = -1;
  }

  /** @param {number} index */
  pin(index) {
    this.pinned = this.anchor = index;
    this.choose(undefined);
    this.point(index);
  }

  /** @private @param {number} index */
  point(index) {
    if (!this.spans[index]) return;
    for (const [i, span] of this.spans.entries()) {
      span.setAttribute("aria-selected", String(i === index));
    }
    this.list.setAttribute("aria-activedescendant", `${this.name}-${index}`);
    this.onActive(index);
  }

  /** @private @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const last = this.units.length - 1;
    const rightToLeft = getComputedStyle(this.element).direction === "rtl";
    const forward = rightToLeft ? "ArrowLeft" : "ArrowRight";
    const backward = rightToLeft ? "ArrowRight" : "ArrowLeft";
    const at = this.pinned;
    /** @type {Record<string, number>} */
    const targets = {
      [forward]: at + 1,
      [backward]: at - 1,
      ArrowDown: this.besides(at, 1),
      ArrowUp: this.besides(at, -1),
      Home: 0,
      End: last,
    };
    const target = targets[event.key];
    if (target === undefined) return false;
    const index = Math.min(Math.max(target, 0), last);
    if (event.shiftKey) {
      if (this.anchor < 0) this.anchor = Math.max(at, 0);
      this.pinned = index;
      this.choose([Math.min(this.anchor, index), Math.max(this.anchor, index)]);
      this.point(index);
    } else {
      this.pin(index);
    }
    this.spans[index]?.scrollIntoView({ block: "nearest" });
    return true;
  }

  /** The unit above or below. @private @param {number} at @param {number} step */
  besides(at, step) {
    const here = this.spans[at]?.getBoundingClientRect();
    if (!here) return 0;
    let best = at;
    let distance = Infinity;
    let line = 0;
    for (let i = at + step; this.spans[i]; i += step) {
      const rect = /** @type {HTMLElement} */ (this.spans[i]).getBoundingClientRect();
      const below = step * (rect.top - here.top);
      if (below < here.height / 2) continue;
      if (line && below > line + here.height / 2) break;
      line = below;
      if (Math.abs(rect.left - here.left) < distance) {
        distance = Math.abs(rect.left - here.left);
        best = i;
      }
    }
    return best;
  }

  /** What was selected as text, by mouse or finger, is a range. @private */
  dragged() {
    const selection = getSelection();
    if (!selection || selection.isCollapsed || !this.spans.length) return;
    if (!this.list.contains(selection.anchorNode) || !this.list.contains(selection.focusNode))
      return;
    const ends = [selection.anchorNode, selection.focusNode].map((node) => this.indexOf(node));
    const [first = -1, last = -1] = ends.sort((a, b) => a - b);
    if (first >= 0) this.choose([first, last]);
  }

  /** @private @param {[number, number] | undefined} range */
  choose(range) {
    for (const [i, span] of this.spans.entries()) {
      span.classList.toggle("is-chosen", range !== undefined && i >= range[0] && i <= range[1]);
    }
    this.onRange(range);
  }

  /** @private @param {EventTarget | null} target */
  indexOf(target) {
    const element =
      target instanceof Element ? target : target instanceof Node && target.parentElement;
    const token = element && element.closest(".token");
    return token instanceof HTMLElement ? this.spans.indexOf(token) : -1;
  }
}

/** The space before a word stays uncoloured. @param {string} text */
function faces(text) {
  const word = text.trimStart();
  const face = el("span", { class: "face" }, word || text);
  return word ? [text.slice(0, text.length - word.length), face] : [face];
}

/**
 * @param {string} text
 * @param {readonly import("./backend.js").Token[]} tokens
 * @returns {Unit[]}
 */
export function units(text, tokens) {
  /** @type {Unit[]} */
  const found = [];
  for (const [i, { start, end }] of tokens.entries()) {
    const last = found.at(-1);
    if (last && start < last.end) {
      last.tokens.push(i);
      last.end = Math.max(last.end, end);
      last.text = text.slice(last.start, last.end);
    } else {
      found.push({ start, end, text: text.slice(start, end), tokens: [i] });
    }
  }
  return found;
}
