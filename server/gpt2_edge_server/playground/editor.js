/**
 * The text as people edit it: a plain textarea, which every phone, keyboard and input method knows,
 * under a mirror of the same text that draws what a textarea cannot: generated words are underlaid,
 * what the model does not see is veiled. The mirror gives both their height.
 */

import { el } from "./dom.js";
import { runs } from "./text-store.js";

/** @typedef {import("./text-store.js").TextStore} TextStore */

export class Editor {
  /** @param {TextStore} store */
  constructor(store) {
    this.store = store;
    this.mirror = el("div", { class: "mirror", "aria-hidden": "true", dir: "auto" });
    this.area = el("textarea", {
      id: "text",
      dir: "auto",
      rows: 1,
      "aria-label": "Your text",
      "aria-describedby": "text-help",
      placeholder: "Write something…",
      autocapitalize: "sentences",
      spellcheck: "true",
      "aria-autocomplete": "list",
    });
    this.element = el("div", { class: "editor" }, this.area, this.mirror);
    /** What of the beginning the model does not see. @private */
    this.dropped = "";
    /** The group of an input method's composition. @private */
    this.composition = "";
    /** Called when somebody edits, before the store knows. */
    this.beforeInput = () => {};
    this.area.addEventListener("input", () => {
      this.beforeInput();
      const { value, selectionEnd } = this.area;
      store.type(value, selectionEnd, performance.now(), this.composition);
      this.draw();
    });
    this.area.addEventListener("compositionstart", () => {
      store.endStep();
      this.composition = "composition";
    });
    this.area.addEventListener("compositionend", () => {
      store.endStep();
      this.composition = "";
    });
    this.area.addEventListener("beforeinput", (event) => {
      // The browser's own history does not know what the model wrote.
      if (event.inputType === "historyUndo") this.takeBack(event, () => store.undo());
      if (event.inputType === "historyRedo") this.takeBack(event, () => store.redo());
    });
    store.onChange(() => this.draw());
    this.draw();
  }

  /** Where the model goes on: the end of the selection. */
  get caret() {
    return this.area.selectionEnd;
  }

  /** How much of the beginning the model does not see. @param {number} count  Code units. */
  setDropped(count) {
    if (count === this.dropped.length) return;
    this.dropped = this.store.text.slice(0, count);
    this.draw();
  }

  focus() {
    this.area.focus({ preventScroll: true });
  }

  /** The caret's lower edge, in pixels from the editor's top. @param {number} offset */
  below(offset) {
    const range = this.rangeAt(offset);
    const rects = range.getClientRects();
    const rect = rects[rects.length - 1] ?? this.mirror.getBoundingClientRect();
    return rect.bottom - this.element.getBoundingClientRect().top;
  }

  /** Scrolls so that `offset` is in sight. @param {number} offset */
  reveal(offset) {
    const bottom = this.element.getBoundingClientRect().top + this.below(offset);
    const room = innerHeight - 140; // above the tools at the page's foot
    if (bottom > room) scrollBy({ top: bottom - room });
    else if (bottom < 100) scrollBy({ top: bottom - 100 });
  }

  /** @private @param {Event} event @param {() => void} step */
  takeBack(event, step) {
    event.preventDefault();
    this.beforeInput();
    step();
  }

  /** @private @param {number} offset */
  rangeAt(offset) {
    const range = document.createRange();
    const walker = document.createTreeWalker(this.mirror, NodeFilter.SHOW_TEXT);
    let left = offset;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const length = node.textContent?.length ?? 0;
      if (left <= length) {
        // The mirror ends with a character of its own: at the end of the text it stands there.
        range.setStart(node, left);
        range.setEnd(node, left);
        return range;
      }
      left -= length;
    }
    range.selectNodeContents(this.mirror);
    range.collapse(false);
    return range;
  }

  /** @private */
  draw() {
    const { text, marks, caret } = this.store;
    if (this.area.value !== text) {
      this.area.value = text;
      this.area.setSelectionRange(caret, caret);
    }
    // Of a text that begins otherwise it is not known yet.
    if (!text.startsWith(this.dropped)) this.dropped = "";
    const parts = [];
    for (const { start, end, generated } of runs(text, marks)) {
      const seen = Math.min(Math.max(this.dropped.length, start), end);
      if (seen > start) parts.push(run(text.slice(start, seen), generated, true));
      if (end > seen) parts.push(run(text.slice(seen, end), generated, false));
    }
    // A line break at the very end has a line of its own only with something on it.
    this.mirror.replaceChildren(...parts, "\u200b");
  }
}

/** @param {string} text @param {boolean} generated @param {boolean} dropped */
function run(text, generated, dropped) {
  if (!generated && !dropped) return text;
  const kinds = `${generated ? "generated" : ""} ${dropped ? "dropped" : ""}`.trim();
  return el("span", { class: kinds }, text);
}
