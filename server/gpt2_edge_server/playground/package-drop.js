/** A package's folder, or its files, dropped anywhere on the page. */

import { el } from "./dom.js";
import { MANIFEST } from "./page.js";

/** Of what was dropped, which may be a whole disk, so many files and folders are looked at. */
const MOST_ENTRIES = 5000;
const OFFER = "It takes the model’s place. Your text stays.";
const NOT_HERE = "This page’s model is the server’s: a package cannot be dropped here.";

/** @param {import("./page.js").Page} page */
export function takeDrops(page) {
  const takes = page.backend.choosePackage !== undefined;
  const words = takes ? [el("strong", {}, "Drop a package here"), OFFER] : [NOT_HERE];
  const target = el("div", { class: "drop-target", hidden: true, "aria-hidden": "true" });
  target.append(el("p", {}, ...words));
  document.body.append(target);
  let drops = 0;
  const hide = () => {
    target.hidden = true;
  };

  /** What is not taken over would take the page's place. @param {DragEvent} event */
  function over(event) {
    if (!hasFiles(event) || !event.dataTransfer) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = takes ? "copy" : "none";
    target.hidden = false;
  }

  /** @param {DragEvent} event */
  async function dropped(event) {
    hide();
    if (!hasFiles(event) || !event.dataTransfer) return;
    event.preventDefault();
    if (!takes) return page.say(NOT_HERE);
    const drop = (drops += 1);
    // Now, or never: after the event they are gone.
    const items = Array.from(event.dataTransfer.items);
    const entries = items.map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    const files = await packageFiles(entries).catch(() => undefined);
    if (drop !== drops) return;
    if (files) page.choosePackage({ files });
    else page.say("What was dropped cannot be read; nothing has changed.");
  }

  addEventListener("dragenter", over);
  addEventListener("dragover", over);
  addEventListener("drop", (event) => void dropped(event));
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) hide(); // it left the window
  });
  // Browsers tell of pointers when nothing is dragged any more.
  addEventListener("pointermove", hide);
}

/** Text that is dragged is the browser's business. @param {DragEvent} event */
function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/**
 * The files beside the manifest that is nearest to the top; none where there is no manifest.
 * @param {FileSystemEntry[]} entries
 * @returns {Promise<File[]>}
 */
async function packageFiles(entries) {
  let left = MOST_ENTRIES;
  let folders = [entries];
  while (folders.length) {
    const found = folders.find((inside) => inside.some(({ name }) => name === MANIFEST));
    if (found) return Promise.all(found.filter(({ isFile }) => isFile).map(fileOf));
    const below = [];
    for (const entry of folders.flat()) {
      if (!entry.isDirectory || left <= 0) continue;
      const inside = await entriesOf(/** @type {FileSystemDirectoryEntry} */ (entry), left);
      left -= inside.length + 1;
      below.push(inside);
    }
    folders = below;
  }
  return [];
}

/** @param {FileSystemEntry} entry @returns {Promise<File>} */
function fileOf(entry) {
  return new Promise((resolve, reject) =>
    /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject),
  );
}

/**
 * What is in a folder, of which browsers tell some at a time; not much more than `most`.
 * @param {FileSystemDirectoryEntry} folder
 * @param {number} most
 */
async function entriesOf(folder, most) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const found = [];
  while (found.length < most) {
    /** @type {FileSystemEntry[]} */
    const more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!more.length) break;
    found.push(...more);
  }
  return found;
}
