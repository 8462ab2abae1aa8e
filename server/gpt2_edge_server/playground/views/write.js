/** Write: the text, and nothing else. Tab brings three ways on; Write on goes on by itself. */

import { button, drawn, el } from "../dom.js";
import { sliders } from "../settings.js";
import { Latest, oncePerFrame, settled } from "../tasks.js";
import { counted, wordCount } from "../words.js";
import { Suggestions } from "./suggestions.js";

const STARTS = [
  "In a shocking finding, scientists discovered",
  "Once upon a time, in a house by the sea,",
  "The recipe begins with a single",
];

/**
 * @param {import("../page.js").Page} page
 * @returns {import("../page.js").View}
 */
export function writeView(page) {
  const { store, settings, editor } = page;
  const writing = new Latest();
  const suggestions = new Suggestions(page);
  let texts = 0;
  /** Escape gives Tab back to the page, until somebody types. */
  let tabLeaves = false;

  const suggest = button("fork", "Suggest", () => toggleSuggestions(), {
    class: "primary",
    title: "Three continuations (Tab)",
  });
  suggest.append(el("kbd", { "aria-hidden": "true" }, "Tab"));
  const write = button("pen", "Write on", () => toggleWriting(), { title: "Ctrl+Enter" });
  const quiet = (
    /** @type {string} */ icon,
    /** @type {string} */ label,
    /** @type {() => void} */ click,
  ) => button(icon, label, click, { class: "icon-only quiet", "aria-label": label, title: label });
  const undo = quiet("undo", "Undo", () => step(() => store.undo()));
  const redo = quiet("redo", "Redo", () => step(() => store.redo()));
  const drawer = el("div", { class: "drawer", id: "write-settings", hidden: true });
  drawer.append(sliders(settings, { length: true, prefix: "write" }));
  const more = quiet("sliders", "How to write", () => {
    drawer.hidden = !drawer.hidden;
    more.setAttribute("aria-expanded", String(!drawer.hidden));
  });
  more.setAttribute("aria-expanded", "false");
  more.setAttribute("aria-controls", drawer.id);
  const count = el("p", { class: "count" });
  const dock = el(
    "div",
    { class: "dock", role: "toolbar", "aria-label": "Writing" },
    suggest,
    write,
    el("span", { class: "gap" }),
    undo,
    redo,
    more,
  );
  const starts = el("div", { class: "starts" }, el("p", {}, "Or begin with"));
  for (const start of STARTS) {
    const begin = button("", `${start}…`, () => {
      store.replace(0, store.text.length, start);
      editor.focus();
      editor.area.setSelectionRange(start.length, start.length);
      void suggestions.open(start.length);
    });
    starts.append(begin);
  }
  const slot = el("div", { class: "slot" });
  const element = el(
    "section",
    { class: "view write" },
    slot,
    starts,
    count,
    el("div", { class: "foot" }, drawer, dock),
  );
  const fit = settled(500, () => void measure());

  /** What the model cannot see of a long text is veiled. */
  async function measure() {
    const { text } = store;
    if (!page.info || writing.busy) return;
    // A code unit is at most three tokens.
    if (3 * text.length <= page.info.contextLength) return editor.setDropped(0);
    try {
      const { droppedChars } = await page.backend.tokenize(text);
      if (text === store.text) editor.setDropped(droppedChars);
    } catch {
      // The next call to the model will tell.
    }
  }

  function toggleSuggestions() {
    if (suggestions.isOpen) suggestions.close();
    else void suggestions.open(editor.caret);
  }

  function toggleWriting() {
    if (writing.busy) stopWriting();
    else void page.attempt(writeOn);
  }

  function stopWriting() {
    if (!writing.busy) return;
    writing.stop();
    showWriting(false);
    page.say("Stopped. What was written stays.");
  }

  async function writeOn() {
    suggestions.close();
    if (!page.info) return page.say("The model is not there yet.");
    if (!store.text.trim())
      return page.say("Write a few words first: the model goes on from them.");
    const start = editor.caret;
    let end = start;
    const group = `text ${(texts += 1)}`;
    showWriting(true);
    page.say("Writing…");
    try {
      const request = { ...settings.drawing(), n: 1, maxTokens: settings.values.length };
      const written = await writing.run((signal) => {
        let unseen = "";
        const show = oncePerFrame(() => {
          store.replace(end, end, unseen, { generated: true, group });
          end += unseen.length;
          unseen = "";
          editor.reveal(end);
        });
        // Where somebody stops it, what nobody has seen yet is not added behind their back.
        signal.addEventListener("abort", () => show.cancel());
        const onText = (/** @type {number} */ index, /** @type {string} */ piece) => {
          if (signal.aborted || index !== 0) return;
          unseen += piece;
          show.soon();
        };
        const text = store.text.slice(0, start);
        return page.backend.write(text, { ...request, onText, signal }).finally(() => show.now());
      });
      if (!written) return;
      page.say(`Wrote ${counted(wordCount(store.text.slice(start, end)), "word")}.`);
      // Words that were taken back, and words that went on, do not come again.
      settings.advance();
    } finally {
      if (!writing.busy) showWriting(false);
    }
  }

  /** @param {boolean} on */
  function showWriting(on) {
    write.replaceChildren(
      drawn(on ? "stop" : "pen"),
      el("span", { class: "label" }, on ? "Stop" : "Write on"),
    );
    write.title = on ? "Escape" : "Ctrl+Enter";
    element.classList.toggle("is-writing", on);
    store.endStep();
    if (!on) fit.soon();
  }

  /** @param {() => boolean} change */
  function step(change) {
    editor.beforeInput();
    if (!change()) page.say("There is nothing more.");
  }

  function update() {
    undo.setAttribute("aria-disabled", String(!store.canUndo));
    redo.setAttribute("aria-disabled", String(!store.canRedo));
    starts.hidden = store.text.length > 0;
    const words = wordCount(store.text);
    const own =
      words - wordCount(store.marks.map(([start, end]) => store.text.slice(start, end)).join(" "));
    const generated = store.marks.length
      ? ` · ${counted(Math.max(words - own, 0), "word")} by the model`
      : "";
    count.textContent = words ? `${counted(words, "word")}${generated}` : "";
  }

  /** @param {KeyboardEvent} event */
  function keyInText(event) {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "Tab" && plain && !event.shiftKey && !tabLeaves) {
      void suggestions.open(editor.caret);
      return true;
    }
    if (suggestions.isOpen && plain && suggestions.key(event)) return true;
    if (event.key === "Escape" && !writing.busy) {
      tabLeaves = true;
      page.say("Tab now leaves the text.");
      return true;
    }
    return false;
  }

  editor.area.addEventListener("pointerdown", () => suggestions.close());
  editor.area.addEventListener("blur", () => (tabLeaves = false));

  return {
    name: "write",
    label: "Write",
    element,
    show() {
      slot.append(editor.element, suggestions.element);
      editor.beforeInput = () => {
        tabLeaves = false;
        suggestions.close();
        stopWriting();
      };
      update();
      fit.soon();
    },
    hide() {
      suggestions.close();
      stopWriting();
      editor.beforeInput = () => {};
    },
    textChanged() {
      update();
      fit.soon();
    },
    settingsChanged() {},
    modelChanged() {
      suggestions.close(); // they are the other one's
      fit.soon();
    },
    key(event) {
      if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
        toggleWriting();
        return true;
      }
      if (event.key === "Escape" && writing.busy) {
        stopWriting();
        return true;
      }
      if (event.target === editor.area) return keyInText(event);
      if (event.key === "Escape" && suggestions.isOpen) {
        suggestions.close();
        editor.focus();
        return true;
      }
      return false;
    },
  };
}
