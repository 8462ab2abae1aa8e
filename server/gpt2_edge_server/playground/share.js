/** The text to take along: copied, or as a link that has it, and the seed, in its fragment. */

import { button, el } from "./dom.js";

/** Longer links break on their way through other programs, in code units. */
const LONGEST_LINK = 30_000;
const LONGEST_TEXT = 1_000_000;

/**
 * A link to this page. Nothing else of its address goes along: its query may have a package's
 * address, or a token in it, that was meant for one reader.
 * @param {string} text
 * @param {number} seed
 */
export function linkTo(text, seed) {
  const link = new URL(location.pathname, location.origin);
  link.hash = new URLSearchParams({ text, seed: String(seed) }).toString();
  return link.href;
}

/**
 * What the address brought along; the address forgets it, so that a reload keeps what came after.
 * @returns {{text: string, seed: number | undefined} | undefined}
 */
export function takeFromAddress() {
  const brought = new URLSearchParams(location.hash.slice(1));
  const text = brought.get("text");
  if (text === null) return undefined;
  const seed = Number(brought.get("seed") ?? NaN);
  history.replaceState(null, "", location.pathname + location.search);
  return {
    text: text.slice(0, LONGEST_TEXT).replace(/\r\n?/g, "\n"),
    seed: Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32 ? seed : undefined,
  };
}

/** @param {import("./page.js").Page} page */
export async function copyText(page) {
  if (await copied(page.store.text)) page.say("Copied.");
  else page.say("This browser does not let the page copy. Select the text and copy it.");
}

/** @param {import("./page.js").Page} page */
export async function shareLink(page) {
  const link = linkTo(page.store.text, page.settings.seed);
  if (link.length > LONGEST_LINK) {
    page.say("The text is too long for a link. Copy it instead.");
  } else if (await copied(link)) {
    page.say("Link copied: it has the text and the seed.");
  } else {
    showLink(link);
  }
}

/** @param {string} text */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedAsBefore(text);
  }
}

/** As pages copied before there was a clipboard, which plain http has not. @param {string} text */
function copiedAsBefore(text) {
  const focused = document.activeElement;
  const area = el("textarea", { class: "hidden" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}

/** @param {string} link */
function showLink(link) {
  const field = el("input", { type: "text", readonly: true, value: link, "aria-label": "Link" });
  openDialog("Link to this text", field);
  field.select();
}

/**
 * A dialog that goes when it is closed.
 * @param {string} title
 * @param {...Node} children
 */
export function openDialog(title, ...children) {
  const close = button("close", "Close", () => dialog.close(), {
    class: "icon-only quiet",
    "aria-label": "Close",
  });
  const head = el("div", { class: "dialog-head" }, el("h2", { id: "dialog-title" }, title), close);
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, head, ...children);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
