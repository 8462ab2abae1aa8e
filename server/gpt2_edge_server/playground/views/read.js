/** Read: every token in the colour of how surprising it was. */

import { el } from "../dom.js";
import { Latest, settled } from "../tasks.js";
import { TokenLine } from "../token-line.js";
import { counted, percent, spoken, visible } from "../words.js";

/** @typedef {import("../backend.js").ScoredToken} ScoredToken */

const ALTERNATIVES = 5;
/** Below each of these probabilities a token is a step more surprising. */
const STEPS = [0.5, 0.1, 0.01, 0.001];
const LEGEND = ["over 50%", "over 10%", "over 1%", "over 0.1%", "less"];

/**
 * @param {import("../page.js").Page} page
 * @returns {import("../page.js").View}
 */
export function readView(page) {
  const { store } = page;
  const calls = new Latest();
  /** @typedef {import("../backend.js").Info} Info */
  /** @type {{text: string, info: Info, tokens: ScoredToken[], perplexity: number | null} | undefined} */
  let score;
  const line = new TokenLine("read", "Tokens of your text", (index) => inspect(index), chosen);
  const figure = el("p", { class: "figure" });
  const ofRange = el("p", { class: "figure-more" });
  const legend = el("ul", { class: "legend", "aria-label": "How likely each token was" });
  for (const [i, words] of LEGEND.entries())
    legend.append(el("li", { class: `surprise-${i}` }, words));
  const details = el("div", { class: "details" });
  const aside = el("aside", { class: "panel", "aria-label": "This token" }, details);
  const hint = el("p", { class: "hint" });
  const meaning = el("p", { class: "help" });
  const fit = el("p", { class: "help" });
  const facts = el("div", { class: "facts" }, figure, ofRange, meaning, legend, fit);
  const main = el("div", { class: "main" }, hint, line.element, facts);
  const element = el("section", { class: "view read" }, main, aside);
  const soon = settled(200, () => void page.attempt(ask));

  async function ask() {
    const { text } = store;
    const { info } = page;
    calls.stop(); // its answer would be of another text, or of another model
    element.removeAttribute("aria-busy");
    if (!info || !text.trim()) {
      score = undefined;
      hint.textContent = info ? "There is nothing to read yet. Write something first." : "";
      hint.hidden = false;
      facts.hidden = aside.hidden = line.element.hidden = true;
      return;
    }
    if (score?.info !== info) score = undefined;
    if (score?.text === text) return;
    element.setAttribute("aria-busy", "true");
    if (!score) showPlain(text);
    const answer = await calls
      .run((signal) => page.backend.score(text, { alternatives: ALTERNATIVES, signal }))
      .finally(() => {
        if (!calls.busy) element.removeAttribute("aria-busy");
      });
    if (!answer) return;
    score = { text, info, ...answer };
    draw(answer.droppedChars);
  }

  /** @param {string} text */
  function showPlain(text) {
    hint.hidden = true;
    line.element.hidden = false;
    facts.hidden = aside.hidden = true;
    line.show(text, [], text.length);
    element.classList.add("is-plain");
  }

  /** @param {number} dropped */
  function draw(dropped) {
    if (!score) return;
    const { text, tokens, perplexity } = score;
    element.classList.remove("is-plain");
    hint.hidden = true;
    facts.hidden = aside.hidden = line.element.hidden = false;
    line.show(text, tokens, dropped);
    for (const [i, span] of line.spans.entries()) {
      const logprob = logprobOf(i);
      if (logprob !== null) span.classList.add(`surprise-${surprise(Math.exp(logprob))}`);
      span.setAttribute("aria-label", labelOf(i));
    }
    figure.replaceChildren(
      ...(perplexity === null
        ? ["One token has nothing before it to be judged by."]
        : [
            el("strong", {}, perplexity.toFixed(1)),
            ` perplexity, over ${counted(tokens.length, "token")}`,
          ]),
    );
    fit.textContent = dropped
      ? `The first ${counted(dropped, "character")} do not fit into the model; they are dimmed.`
      : "";
    meaning.textContent =
      perplexity === null
        ? ""
        : `On average the model was as unsure as between ${counted(Math.max(Math.round(perplexity), 1), "equally likely token")}. Select some of the text for its own figure.`;
    chosen(undefined);
    line.pin(mostSurprising());
    if (perplexity !== null) page.say(`Perplexity ${perplexity.toFixed(1)}.`, { seen: true });
  }

  /** Of a unit: that of its tokens one after the other. @param {number} index */
  function logprobOf(index) {
    const positions = line.units[index]?.tokens ?? [];
    const logprobs = positions.map((position) => score?.tokens[position]?.logprob ?? null);
    const known = logprobs.filter((logprob) => logprob !== null);
    return known.length ? known.reduce((sum, logprob) => sum + logprob, 0) : null;
  }

  function mostSurprising() {
    let found = 0;
    for (const i of line.units.keys()) {
      if ((logprobOf(i) ?? 0) < (logprobOf(found) ?? 0)) found = i;
    }
    return found;
  }

  /** @param {number} index */
  function labelOf(index) {
    const unit = line.units[index];
    const token = score?.tokens[unit?.tokens[0] ?? 0];
    const logprob = logprobOf(index);
    if (!unit || !token || logprob === null) return `${spoken(unit?.text ?? "")}, the first token`;
    const others = token.alternatives.map(({ text }) => spoken(text)).join(", ");
    return `${spoken(unit.text)}, ${percent(Math.exp(logprob))}, rank ${token.rank}; likeliest: ${others}`;
  }

  /** @param {number} index */
  function inspect(index) {
    const unit = line.units[index];
    const token = score?.tokens[unit?.tokens[0] ?? 0];
    if (!unit || !token) return;
    const logprob = logprobOf(index);
    const title = el("h2", { class: "token-title", dir: "auto" }, ...visible(unit.text));
    if (logprob === null) {
      details.replaceChildren(title, el("p", {}, "The first token: nothing comes before it."));
      return;
    }
    const bits = (-logprob / Math.LN2).toFixed(1);
    const several = unit.tokens.length > 1 ? ` · ${unit.tokens.length} tokens` : "";
    details.replaceChildren(
      title,
      el("p", { class: "big" }, percent(Math.exp(logprob))),
      el(
        "p",
        { class: "help" },
        `rank ${(token.rank ?? 0).toLocaleString("en")} · ${bits} bits${several}`,
      ),
      el("h3", {}, "The model expected"),
      alternatives(token),
    );
  }

  /** @param {[number, number] | undefined} range */
  function chosen(range) {
    ofRange.textContent = "";
    if (!range || !score) return;
    const logprobs = line.units
      .slice(range[0], range[1] + 1)
      .flatMap(({ tokens }) => tokens.map((position) => score?.tokens[position]?.logprob ?? null))
      .filter((logprob) => logprob !== null);
    if (!logprobs.length) return;
    const mean = logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length;
    const figure = el("strong", {}, Math.exp(-mean).toFixed(1));
    ofRange.replaceChildren(figure, ` in the selection, ${counted(logprobs.length, "token")}`);
  }

  return {
    name: "read",
    label: "Read",
    element,
    show: () => void page.attempt(ask),
    hide() {
      soon.cancel();
      calls.stop();
    },
    textChanged() {
      // What is shown is of another text from now on.
      if (page.info && store.text.trim()) element.setAttribute("aria-busy", "true");
      soon.soon();
    },
    settingsChanged() {},
    modelChanged() {
      score = undefined;
      void page.attempt(ask);
    },
    key: () => false,
  };
}

/** 0 (expected) to 4. @param {number} probability */
function surprise(probability) {
  return STEPS.filter((step) => probability <= step).length;
}

/** @param {ScoredToken} token */
function alternatives(token) {
  const list = el("ol", { class: "alternatives" });
  for (const { id, text, logprob } of token.alternatives) {
    const probability = Math.exp(logprob);
    const fill = el("span", { class: "fill" });
    fill.style.setProperty("--share", String(probability));
    const row = el(
      "li",
      id === token.id ? { class: "is-this" } : {},
      el("span", { class: "word", dir: "auto" }, ...visible(text)),
      el("span", { class: "bar", "aria-hidden": "true" }, fill),
      el("span", { class: "percent" }, percent(probability)),
    );
    list.append(row);
  }
  return list;
}
