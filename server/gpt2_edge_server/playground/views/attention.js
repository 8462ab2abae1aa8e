/** Attention: which tokens each token looks at, for a head, a layer, or all of them. */

import { el } from "../dom.js";
import { Latest, settled } from "../tasks.js";
import { TokenLine } from "../token-line.js";
import { counted, percent, spoken, visible } from "../words.js";
import { HeadGrid } from "./head-grid.js";

const EXAMPLE = "The animal didn't cross the street because it was too tired";
/** What the example is about. */
const EXAMPLE_WORD = " it";
const LISTED = 6;
/** A text of so many tokens stays in sight. */
const SHORT = 60;

/**
 * @param {import("../page.js").Page} page
 * @returns {import("../page.js").View}
 */
export function attentionView(page) {
  const { store } = page;
  const calls = new Latest();
  /** @typedef {import("../backend.js").Info} Info */
  /** @type {(import("../backend.js").Attention & {text: string, info: Info}) | undefined} */
  let seen;
  /** Somebody wants the example, whatever the text is. */
  let wantsExample = false;
  let active = 0;
  /** The weights of the layers and heads that are chosen, [query, key]. */
  let mean = new Float32Array();

  const line = new TokenLine("attention", "Tokens", look, () => {});
  const layer = el("select", { id: "layer" });
  const head = el("select", { id: "head" });
  for (const picker of [layer, head]) picker.addEventListener("change", choose);
  const skip = el("input", { type: "checkbox", id: "skip-first", checked: true });
  skip.addEventListener("change", () => look(active));
  const pickers = el(
    "div",
    { class: "pickers" },
    el("label", { for: layer.id }, "Layer ", layer),
    el("label", { for: head.id }, "Head ", head),
    el("label", { class: "check", for: skip.id }, skip, "Leave out the first token"),
  );
  const grid = new HeadGrid((l, h) => {
    layer.value = String(l);
    head.value = String(h);
    choose();
  });
  const example = el("button", { type: "button", class: "quiet" }, "Show the example");
  example.addEventListener("click", () => {
    wantsExample = !wantsExample;
    void page.attempt(ask);
  });
  const point = el("p", { class: "help" });
  point.append(
    "Point at a word, or tap it: the stronger another one’s colour, the more it looks at it.",
  );
  const fit = el("p", { class: "help" });
  const details = el("div", { class: "details" });
  const aside = el("aside", { class: "panel", "aria-label": "What this token looks at" }, details);
  const hint = el("p", { class: "hint" });
  const maps = el(
    "section",
    { class: "maps" },
    el("h2", { id: "maps-title" }, "All heads"),
    el(
      "p",
      { class: "help" },
      "A map for each head: rows look, columns are looked at. Choose one.",
    ),
    grid.element,
  );
  const work = el("div", { class: "work" }, line.element, point, fit, pickers);
  const main = el("div", { class: "main" }, hint, work, example, maps);
  const element = el("section", { class: "view attention" }, main, aside);
  const soon = settled(300, () => void page.attempt(ask));
  document.addEventListener("themechange", () => {
    if (!element.hidden) grid.draw();
  });

  async function ask() {
    const own = store.text.trim() !== "";
    const text = own && !wantsExample ? store.text : EXAMPLE;
    example.hidden = !own;
    example.textContent = wantsExample ? "Show my text" : "Show the example";
    const { info } = page;
    const able = info?.attention ?? false;
    calls.stop(); // its answer would be of another text, or of another model
    element.removeAttribute("aria-busy");
    if (seen?.info !== info) seen = undefined;
    hint.hidden = able;
    work.hidden = aside.hidden = maps.hidden = !able || !seen;
    hint.textContent = info ? "This package cannot show its attention. Packages for CPUs can." : "";
    if (!info || !able || seen?.text === text) return;
    element.setAttribute("aria-busy", "true");
    const answer = await calls
      .run((signal) => page.backend.attention(text, { signal }))
      .finally(() => {
        if (!calls.busy) element.removeAttribute("aria-busy");
      });
    if (!answer) return;
    seen = { ...answer, text, info };
    work.hidden = aside.hidden = maps.hidden = false;
    draw();
  }

  function draw() {
    if (!seen) return;
    const { text, tokens, layers, heads, weights, droppedChars } = seen;
    fill(layer, layers);
    fill(head, heads);
    line.show(text, tokens, droppedChars);
    line.element.classList.toggle("is-short", tokens.length <= SHORT);
    for (const [i, span] of line.spans.entries()) {
      span.setAttribute("aria-label", spoken(line.units[i]?.text ?? ""));
    }
    fit.textContent = droppedChars
      ? `The first ${counted(droppedChars, "character")} do not fit; they are dimmed.`
      : "";
    grid.show(weights, layers, heads, tokens.length);
    active = line.units.length - 1;
    const it = line.units.findIndex((unit) => unit.text === EXAMPLE_WORD);
    if (text === EXAMPLE && it > 0) active = it;
    choose();
    line.pin(active);
  }

  /** The layer and head that are chosen; "" is the mean of all. */
  function choose() {
    if (!seen) return;
    const { layers, heads, tokens, weights } = seen;
    const area = tokens.length ** 2;
    const chosenLayers = layer.value === "" ? range(layers) : [Number(layer.value)];
    const chosenHeads = head.value === "" ? range(heads) : [Number(head.value)];
    mean = new Float32Array(area);
    for (const l of chosenLayers) {
      for (const h of chosenHeads) {
        const start = (l * heads + h) * area;
        for (let i = 0; i < area; i += 1) mean[i] = at(mean, i) + at(weights, start + i);
      }
    }
    const count = chosenLayers.length * chosenHeads.length;
    for (let i = 0; i < area; i += 1) mean[i] = at(mean, i) / count;
    grid.choose(chosenLayers, chosenHeads);
    look(active);
  }

  /** How much unit `query` looks at each unit: what its last token does. @param {number} query */
  function weightsOf(query) {
    const total = seen?.tokens.length ?? 0;
    const row = (line.units[query]?.tokens.at(-1) ?? 0) * total;
    const sums = line.units.map(({ tokens }) =>
      tokens.reduce((sum, key) => sum + at(mean, row + key), 0),
    );
    if (!skip.checked || query === 0) return sums;
    sums[0] = 0;
    const rest = sums.reduce((sum, weight) => sum + weight, 0);
    return sums.map((weight) => (rest > 0 ? weight / rest : 0));
  }

  /** @param {number} index */
  function look(index) {
    if (!seen || !line.units[index]) return;
    active = index;
    const weights = weightsOf(index);
    const highest = Math.max(...weights, 1e-6);
    for (const [i, span] of line.spans.entries()) {
      span.style.setProperty("--weight", String((weights[i] ?? 0) / highest));
      span.classList.toggle("is-later", i > index);
    }
    const word = line.units[index].text;
    const list = el("ol", { class: "alternatives" });
    const order = [...weights.keys()].filter((i) => i <= index && at(weights, i) > 0);
    order.sort((a, b) => at(weights, b) - at(weights, a));
    for (const i of order.slice(0, LISTED)) {
      const fill = el("span", { class: "fill" });
      fill.style.setProperty("--share", String(at(weights, i)));
      const name = el(
        "span",
        { class: "word", dir: "auto" },
        ...visible(line.units[i]?.text ?? ""),
      );
      const bar = el("span", { class: "bar", "aria-hidden": "true" }, fill);
      list.append(
        el("li", {}, name, bar, el("span", { class: "percent" }, percent(at(weights, i)))),
      );
    }
    details.replaceChildren(
      el("h2", { class: "token-title", dir: "auto" }, ...visible(word)),
      el("h3", {}, order.length ? "looks at" : "is the first token: it has only itself to look at"),
      list,
      el("p", { class: "help" }, where()),
    );
    const said = order
      .slice(0, 3)
      .map((i) => `${spoken(line.units[i]?.text ?? "")} ${percent(at(weights, i))}`);
    line.spans[index]?.setAttribute("aria-label", `${spoken(word)}, looks at ${said.join(", ")}`);
  }

  function where() {
    if (layer.value === "" && head.value === "") return "Mean of all heads";
    const l = layer.value === "" ? "mean of all layers" : `layer ${Number(layer.value) + 1}`;
    const h = head.value === "" ? "mean of all heads" : `head ${Number(head.value) + 1}`;
    return `${l.charAt(0).toUpperCase()}${l.slice(1)}, ${h}`;
  }

  return {
    name: "attention",
    label: "Attention",
    element,
    show: () => void page.attempt(ask),
    hide() {
      soon.cancel();
      calls.stop();
    },
    textChanged() {
      wantsExample = false;
      if (page.info?.attention) element.setAttribute("aria-busy", "true");
      soon.soon();
    },
    settingsChanged() {},
    modelChanged() {
      seen = undefined;
      void page.attempt(ask);
    },
    key: () => false,
  };
}

/** @param {HTMLSelectElement} picker @param {number} count */
function fill(picker, count) {
  if (picker.options.length === count + 1) return;
  const options = range(count).map((i) => el("option", { value: i }, String(i + 1)));
  picker.replaceChildren(el("option", { value: "" }, "mean of all"), ...options);
}

/** @param {number} count */
function range(count) {
  return Array.from({ length: count }, (_, i) => i);
}

/** @param {ArrayLike<number>} numbers @param {number} index */
function at(numbers, index) {
  return numbers[index] ?? 0;
}
