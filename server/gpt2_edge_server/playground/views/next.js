/** Next word: ten options with what each is worth, and what the settings do to them. */

import { button, el } from "../dom.js";
import { sliders } from "../settings.js";
import { Latest, settled } from "../tasks.js";
import { percent, spoken, visible } from "../words.js";

/** @typedef {import("../backend.js").NextToken} NextToken */

const COUNT = 10;

/**
 * @param {import("../page.js").Page} page
 * @returns {import("../page.js").View}
 */
export function nextView(page) {
  const { store, settings, editor } = page;
  const calls = new Latest();
  /** @type {import("../backend.js").Next | undefined} */
  let next;
  /** The text that `next` goes on from, and the model that says so. */
  let asked = "";
  let info = page.info;
  const rows = Array.from({ length: COUNT }, (_, index) => optionRow(index, () => take(index)));
  const list = el("ol", { class: "options", "aria-label": "Likely next words" });
  list.append(...rows.map((row) => el("li", {}, row.element)));
  const hint = el("p", { class: "hint" });
  const undo = button("undo", "Undo", () => takeBack(), { title: "u" });
  const drawnWord = el("span", { class: "drawn-word" });
  const takeDrawn = button("die", "", () => takeTheDrawn(), { class: "primary", title: "0" });
  takeDrawn.querySelector(".label")?.append("Take the die’s word ", drawnWord);
  const roll = button("again", "Roll again", () => settings.advance(), { title: "r" });
  const actions = el("div", { class: "actions" }, takeDrawn, roll, undo);
  const slot = el("div", { class: "slot" });
  const aside = el(
    "aside",
    { class: "panel", "aria-label": "How the next word is drawn" },
    el("h2", {}, "How it is drawn"),
    sliders(settings, { length: false, prefix: "next" }),
  );
  const keys = el(
    "p",
    { class: "help keys" },
    "Keys: 1 to 9 take a word, 0 the die’s; r rolls, u undoes.",
  );
  const reading = el("p", { class: "help" });
  reading.append("The bar is the chance under the settings, the tick what the model itself says.");
  const main = el("div", { class: "main" }, slot, hint, list, actions, reading, keys);
  const element = el("section", { class: "view next" }, main, aside);
  const soon = settled(60, () => void page.attempt(ask));
  /** What is shown is of another text, or of other settings, from now on. */
  const later = () => {
    if (page.info && store.text.trim()) element.setAttribute("aria-busy", "true");
    soon.soon();
  };

  async function ask() {
    const { text } = store;
    if (!page.info || !text.trim()) {
      forget();
      return draw();
    }
    info = page.info;
    element.setAttribute("aria-busy", "true");
    const drawing = settings.drawing();
    const answer = await calls
      .run((signal) => page.backend.next(text, { ...drawing, k: COUNT, signal }))
      .finally(() => {
        if (!calls.busy) element.removeAttribute("aria-busy");
      });
    if (!answer) return;
    next = answer;
    asked = text;
    editor.setDropped(answer.droppedChars);
    draw();
  }

  function forget() {
    next = undefined;
    calls.stop();
    element.removeAttribute("aria-busy");
  }

  function draw() {
    const options = next?.options ?? [];
    const highest = Math.max(
      ...options.map(({ probability, drawn }) => Math.max(probability, drawn)),
      0.01,
    );
    for (const [i, row] of rows.entries()) row.show(options[i], next?.draw?.id, highest);
    const empty =
      page.info && !store.text.trim()
        ? "Write a few words: what may follow them appears here."
        : "";
    hint.textContent = options.length ? "" : empty;
    hint.hidden = options.length > 0;
    list.hidden = actions.hidden = reading.hidden = keys.hidden = options.length === 0;
    drawnWord.replaceChildren(...(next?.draw ? visible(next.draw.text) : []));
    takeDrawn.setAttribute("aria-disabled", String(!next?.draw || !canFollow(next.draw.text)));
    slot.scrollTop = slot.scrollHeight;
    undo.setAttribute("aria-disabled", String(!store.canUndo));
  }

  /** @param {{text: string} | null | undefined} token */
  function append(token) {
    if (!token || asked !== store.text) return;
    if (!canFollow(token.text)) return page.say("This one cannot be written as text.");
    settings.advance();
    store.endStep();
    store.replace(store.text.length, store.text.length, token.text, { generated: true });
    page.say(`Took ${spoken(token.text)}.`, { seen: true });
  }

  /** @param {number} index */
  function take(index) {
    append(next?.options[index]);
  }

  function takeTheDrawn() {
    append(next?.draw);
  }

  function takeBack() {
    if (store.undo()) page.say("Taken back.", { seen: true });
    else page.say("There is nothing to take back.");
  }

  return {
    name: "next",
    label: "Next word",
    element,
    show() {
      slot.append(editor.element);
      if (info !== page.info) forget();
      draw();
      later();
    },
    hide() {
      soon.cancel();
      calls.stop();
    },
    textChanged: later,
    settingsChanged: later,
    modelChanged() {
      forget();
      draw();
      later();
    },
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target === editor.area)
        return false;
      const digit = /^[0-9]$/.test(event.key) ? Number(event.key) : -1;
      if (digit > 0) take(digit - 1);
      else if (digit === 0) takeTheDrawn();
      else if (event.key === "u") takeBack();
      else if (event.key === "r") settings.advance();
      else return false;
      return true;
    },
  };
}

/**
 * Tokens that are a part of a character, or the end of a text, are no text to go on from.
 * @param {string} text
 */
function canFollow(text) {
  return text !== "" && !text.includes("\ufffd") && !/^<\|.*\|>$/.test(text);
}

/** @param {number} index @param {() => void} take */
function optionRow(index, take) {
  const word = el("span", { class: "word", dir: "auto", "aria-hidden": "true" });
  const aloud = el("span", { class: "hidden" });
  const fill = el("span", { class: "fill" });
  const own = el("span", { class: "own" });
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, fill, own);
  const share = el("span", { class: "percent", "aria-hidden": "true" });
  const digit = el(
    "span",
    { class: "digit", "aria-hidden": "true" },
    index < 9 ? String(index + 1) : "",
  );
  const element = el("button", { type: "button", class: "option" }, aloud, digit, word, bar, share);
  element.addEventListener("click", take);
  return {
    element,
    /**
     * @param {NextToken | undefined} option
     * @param {number | undefined} drawnId
     * @param {number} highest  The share that a full bar is.
     */
    show(option, drawnId, highest) {
      element.hidden = !option;
      if (!option) return;
      const { text, probability, drawn } = option;
      const isCut = drawn === 0;
      const isDrawn = option.id === drawnId;
      word.replaceChildren(...visible(text));
      share.textContent = isCut ? "cut" : percent(drawn);
      fill.style.setProperty("--share", String(drawn / highest));
      own.style.setProperty("--share", String(probability / highest));
      element.classList.toggle("is-cut", isCut);
      element.classList.toggle("is-drawn", isDrawn);
      element.setAttribute("aria-disabled", String(!canFollow(text)));
      const notes = [isCut ? "cut by the settings" : percent(drawn), isDrawn ? "drawn" : ""];
      aloud.textContent = [spoken(text), ...notes].filter(Boolean).join(", ");
      element.title = `The model’s own: ${percent(probability)}`;
    },
  };
}
