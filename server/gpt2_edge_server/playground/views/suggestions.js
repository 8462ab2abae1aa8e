/** Three continuations at the caret, made as one batch, of which one may be taken. */

import { button, el } from "../dom.js";
import { Latest } from "../tasks.js";
import { spoken } from "../words.js";

const COUNT = 3;
/** Tokens of a continuation at most. */
const LENGTH = 18;

export class Suggestions {
  /** @param {import("../page.js").Page} page */
  constructor(page) {
    this.page = page;
    this.isOpen = false;
    /** @private */
    this.calls = new Latest();
    /** @private @type {string[]} */
    this.texts = [];
    /** @private */
    this.chosen = 0;
    /** @private */
    this.at = 0;
    /** @private */
    this.list = el("ol", { role: "listbox", id: "continuations", "aria-label": "Continuations" });
    const others = button("again", "Others", () => this.open(this.at), { class: "quiet" });
    const close = button("close", "None", () => this.leave(), { class: "quiet" });
    const keys = el(
      "span",
      { class: "keys" },
      "↑ ↓ and Enter, or 1 to 3 · Tab: others · Esc: none",
    );
    const foot = el("div", { class: "suggestions-foot" }, keys, others, close);
    this.element = el("div", { class: "suggestions", hidden: true }, this.list, foot);
    // A press must not take the caret, and on phones the keyboard, from the text.
    this.element.addEventListener("pointerdown", (event) => event.preventDefault());
    this.element.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const item = event.target instanceof Element && event.target.closest("li");
      if (item) this.take(Array.from(this.list.children).indexOf(item));
    });
  }

  /** Makes continuations of the text before `at`, others than before. @param {number} at */
  open(at) {
    let again = false;
    return this.page.attempt(() => {
      const from = again ? this.page.editor.caret : at; // the text may be another by then
      again = true;
      return this.make(from);
    });
  }

  close() {
    this.calls.stop();
    if (!this.isOpen) return;
    this.isOpen = false;
    this.element.hidden = true;
    delete document.body.dataset["choosing"];
    this.page.editor.area.removeAttribute("aria-activedescendant");
    this.page.editor.area.removeAttribute("aria-controls");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const digit = Number(event.key);
    if (event.key === "ArrowDown") this.choose(this.chosen + 1);
    else if (event.key === "ArrowUp") this.choose(this.chosen - 1);
    else if (event.key === "Enter") this.take(this.chosen);
    else if (event.key === "Escape") this.leave();
    else if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) {
      this.close(); // the caret goes elsewhere
      return false;
    } else if (digit >= 1 && digit <= COUNT) this.take(digit - 1);
    else return false;
    return true;
  }

  /** @private */
  leave() {
    this.close();
    this.page.say("None taken.", { seen: true });
    this.page.editor.focus();
  }

  /** @private @param {number} at */
  async make(at) {
    const { store, settings, backend } = this.page;
    this.close();
    const prompt = store.text.slice(0, at);
    if (!this.page.info) return this.page.say("The model is not there yet.");
    if (!prompt.trim())
      return this.page.say("Write a few words first: the model goes on from them.");
    this.at = at;
    this.texts = Array.from({ length: COUNT }, () => "");
    this.show();
    this.page.say("Thinking of three continuations…", { seen: true });
    const texts = this.texts;
    const drawing = settings.drawing();
    settings.advance();
    try {
      const written = await this.calls.run((signal) => {
        const onText = (/** @type {number} */ index, /** @type {string} */ piece) => {
          if (signal.aborted || index >= COUNT) return;
          texts[index] += piece;
          this.draw();
        };
        return backend.write(prompt, { ...drawing, n: COUNT, maxTokens: LENGTH, onText, signal });
      });
      if (!written) return;
      this.texts = written.map(({ text }) => atSentenceEnd(text));
      this.element.classList.remove("is-waiting");
      this.draw();
      this.element.scrollIntoView({ block: "nearest" });
      const all = this.texts.map((text, i) => `${i + 1}: ${spoken(text)}`);
      this.page.say(`Three continuations. ${all.join(". ")}`, { seen: true });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @private */
  show() {
    const { editor } = this.page;
    this.isOpen = true;
    this.element.hidden = false;
    document.body.dataset["choosing"] = "";
    this.element.classList.add("is-waiting");
    this.element.style.setProperty("--top", `${editor.below(this.at)}px`);
    editor.area.setAttribute("aria-controls", this.list.id);
    this.list.replaceChildren(
      ...this.texts.map((_, i) =>
        el(
          "li",
          { role: "option", id: `continuation-${i + 1}` },
          el("span", { class: "digit", "aria-hidden": "true" }, String(i + 1)),
          el("span", { class: "words", dir: "auto" }),
        ),
      ),
    );
    this.choose(0);
    this.draw();
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** @private */
  draw() {
    for (const [i, text] of this.texts.entries()) {
      const words = this.list.children[i]?.querySelector(".words");
      if (words) words.textContent = text.replace(/\n/g, " ↵ ") || "…";
    }
  }

  /** @private @param {number} index */
  choose(index) {
    this.chosen = (index + COUNT) % COUNT;
    for (const [i, item] of Array.from(this.list.children).entries()) {
      item.setAttribute("aria-selected", String(i === this.chosen));
    }
    const active = `continuation-${this.chosen + 1}`;
    this.page.editor.area.setAttribute("aria-activedescendant", active);
  }

  /** @private @param {number} index */
  take(index) {
    const text = this.texts[index];
    if (!text) return;
    const { store, editor } = this.page;
    this.close();
    store.endStep();
    store.replace(this.at, this.at, text, { generated: true });
    const end = this.at + text.length;
    editor.focus();
    editor.area.setSelectionRange(end, end);
    editor.reveal(end);
    this.page.say(`Taken: ${spoken(text)}`, { seen: true });
  }
}

/** Up to the end of a sentence, where there is one behind a few words. @param {string} text */
function atSentenceEnd(text) {
  const end = /^[^]{12,}?[.!?…]["”’)]?(?=\s)/u.exec(text);
  return end ? end[0] : text.trimEnd() || text;
}
