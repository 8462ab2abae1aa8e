/** The texts that are kept: to look at, and to go on with. */

import { el } from "./dom.js";
import { openDialog } from "./share.js";
import { counted, wordCount } from "./words.js";

/** How much of a text is shown, in code units. */
const SHOWN = 160;

/**
 * Another text takes the place of the page's, which stays among the kept ones; Undo brings it back.
 * @param {import("./page.js").Page} page
 * @param {import("./sessions.js").Sessions} sessions
 * @param {string} text
 * @param {import("./text-store.js").Mark[]} marks
 * @param {string} id  Of the session that has the text; "": it is a new one.
 */
export async function beginText({ store, editor }, sessions, text, marks = [], id = "") {
  if (text === store.text) return;
  editor.beforeInput();
  await sessions.keep(store.saved(), Date.now());
  const left = sessions.id;
  if (id) await sessions.move(id, text);
  else if (store.text.trim()) await sessions.part();
  store.endStep();
  store.become(text, marks, [left, sessions.id]);
}

/**
 * @param {import("./page.js").Page} page
 * @param {import("./sessions.js").Sessions} sessions
 */
export function showTexts(page, sessions) {
  const seen = new Set([page.store.text, ""]);
  const kept = sessions.list().filter(({ saved }) => {
    const text = saved.text.trimEnd();
    return !seen.has(text) && seen.add(text);
  });
  const items = kept.map(({ id, time, saved }) => {
    const { text, marks } = saved;
    const when = new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const about = `${counted(wordCount(text), "word")} · ${when}`;
    const open = el(
      "button",
      { type: "button", class: "kept" },
      el("span", { class: "kept-text", dir: "auto" }, text.trim().slice(0, SHOWN)),
      el("span", { class: "kept-about" }, about),
    );
    open.addEventListener("click", () => {
      dialog.close();
      void beginText(page, sessions, text, marks, id);
      page.say("Another text is here. Undo brings back the one before.");
    });
    return el("li", {}, open);
  });
  const fresh = el("button", { type: "button", class: "primary" }, "Begin a new text");
  fresh.addEventListener("click", () => {
    dialog.close();
    void beginText(page, sessions, "");
    page.say("A new text. Undo brings back the one before.");
    page.editor.focus();
  });
  const dialog = openDialog(
    "Texts",
    el("p", { class: "help" }, "Each tab has a text of its own. They stay in this browser."),
    fresh,
    items.length
      ? el("ul", { class: "kept-list" }, ...items)
      : el("p", {}, "There is no other text yet."),
  );
}
