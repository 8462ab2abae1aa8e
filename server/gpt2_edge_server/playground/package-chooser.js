/** Another model: a package by its address, or from a folder of this device. */

import { el } from "./dom.js";

/**
 * @param {import("./page.js").Page} page
 * @param {string} prefix  Of the ids.
 */
export function packageChooser(page, prefix) {
  const address = el("input", {
    type: "text",
    inputmode: "url",
    id: `${prefix}-address`,
    value: page.backend.packageAddress ?? "",
    spellcheck: "false",
    autocapitalize: "off",
    required: true,
  });
  const form = el(
    "form",
    { class: "inline" },
    el("label", { for: address.id }, "Address of a package"),
    address,
    el("button", { class: "primary" }, "Load"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    page.choosePackage({ url: address.value.trim() });
  });
  const folder = el("input", { type: "file", id: `${prefix}-folder`, multiple: true });
  folder.webkitdirectory = true;
  folder.addEventListener("change", () => {
    if (folder.files?.length) page.choosePackage({ files: Array.from(folder.files) });
  });
  const fromDisk = el(
    "div",
    { class: "inline" },
    el(
      "label",
      { for: folder.id },
      "Or a package’s folder on this device; dropped anywhere on the page, too",
    ),
    folder,
  );
  return el("div", { class: "chooser" }, form, fromDisk);
}
