/** Bits and bytes of a package as a picture: as wide as parameters, as high as bits. */

import { el } from "../dom.js";
import { large, size } from "../words.js";

/** What a weight had before: float32. */
const BITS_BEFORE = 32;

/**
 * The picture, and the same as a table.
 * @param {readonly import("../backend.js").Group[]} groups
 * @returns {HTMLElement[]}
 */
export function skyline(groups) {
  const picture = el("div", { class: "skyline", "aria-hidden": "true" });
  for (const [i, { name, parameters, bits }] of groups.entries()) {
    if (!parameters) continue;
    const built = el("span", { class: `built group-${i % 6}` });
    built.style.setProperty("--bits", String(Math.min((bits ?? 0) / BITS_BEFORE, 1)));
    const house = el("span", { class: "house", title: name }, built);
    house.style.setProperty("--parameters", String(parameters));
    picture.append(house);
  }
  const rows = groups.map(({ name, parameters, bytes, bits }, i) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("span", { class: `swatch group-${i % 6}` }), name),
      el("td", {}, parameters ? large(parameters) : "–"),
      el("td", {}, bits === null ? "–" : bits.toFixed(1)),
      el("td", {}, size(bytes)),
    ),
  );
  const head = el("tr", {});
  for (const title of ["Group", "Weights", "Bits", "Bytes"])
    head.append(el("th", { scope: "col" }, title));
  const table = el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows));
  const help =
    "As wide as its weights, as high as the bits of one: the area is its bytes. The frame is float32.";
  return [picture, el("p", { class: "help" }, help), table];
}
