/** Model: what this package is, what quantization did to it, and how fast it is here. */

import { button, drawn, el } from "../dom.js";
import { packageChooser } from "../package-chooser.js";
import { Latest } from "../tasks.js";
import { counted, large, percent, size } from "../words.js";
import { skyline } from "./skyline.js";

/** @typedef {import("../backend.js").Info} Info */
/** @typedef {import("../backend.js").Quality} Quality */

const SPEED_PROMPT = "The weather today is";
const SPEED_TOKENS = 48;
/** What the providers of ONNX Runtime are to people. @type {Record<string, string>} */
const PROVIDERS = {
  cpu: "the CPU",
  cuda: "an NVIDIA GPU",
  coreml: "Core ML",
  wasm: "this browser (WebAssembly)",
  webgpu: "this browser (WebGPU)",
};

/**
 * @param {import("../page.js").Page} page
 * @returns {import("../page.js").View}
 */
export function modelView(page) {
  const speedCalls = new Latest();
  const testCalls = new Latest();
  const body = el("div", { class: "model-body" });
  const chooser = page.backend.choosePackage
    ? [card("Another model", "chooser", packageChooser(page, "model"))]
    : [];
  const element = el("section", { class: "view model" }, body, ...chooser);

  function draw() {
    const { info } = page;
    if (!info) {
      body.replaceChildren(el("p", { class: "hint" }, "The model is not there yet."));
      return;
    }
    body.replaceChildren(
      heading(info),
      ...(info.groups.length
        ? [card("Where the bytes are", "bytes", ...skyline(info.groups))]
        : []),
      card("What quantization cost", "quality", ...quality(info.quality)),
      card("How fast it is here", "speed", ...speed()),
      card("Is it intact", "intact", ...selfTest()),
      card("Files", "files", files(info)),
    );
  }

  function speed() {
    const before = "Not measured yet.";
    const result = el("p", { class: "result", "aria-live": "polite" }, before);
    const measure = button("gauge", "Measure", () => void page.attempt(run));
    async function run() {
      result.textContent = "Writing…";
      const began = performance.now();
      let first = 0;
      let last = began;
      const onText = () => {
        last = performance.now();
        first ||= last;
      };
      const drawing = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 0 };
      const request = { ...drawing, n: 1, maxTokens: SPEED_TOKENS, onText };
      const count = await answerOr(result, before, speedCalls, async (signal) => {
        const [one] = await page.backend.write(SPEED_PROMPT, { ...request, signal });
        const ended = one && one.finishReason !== "length";
        return ended ? (await page.backend.tokenize(one.text)).count : SPEED_TOKENS;
      });
      if (count === undefined) return;
      const seconds = (last - first) / 1000;
      const rate = seconds > 0 ? (count - 1) / seconds : 0;
      result.replaceChildren(
        el("strong", {}, rate.toFixed(rate < 10 ? 1 : 0)),
        ` tokens per second; the first after ${(first - began).toFixed(0)} ms`,
      );
    }
    return [result, measure];
  }

  function selfTest() {
    const result = el("p", { class: "result", "aria-live": "polite" });
    const before = "The package knows what it wrote when it was made. Does it still?";
    result.textContent = before;
    const test = button("check", "Run the self-test", () => void page.attempt(run));
    async function run() {
      result.textContent = "Testing…";
      const answer = await answerOr(result, before, testCalls, (signal) =>
        page.backend.selfTest({ signal }),
      );
      if (!answer) return;
      if (answer.passed) {
        result.replaceChildren(
          drawn("check"),
          " Passed: it writes what it wrote when it was made.",
        );
      } else {
        const problems = answer.problems.map((problem) => el("li", {}, problem));
        result.replaceChildren("It does not:", el("ul", {}, ...problems));
      }
    }
    return [result, test];
  }

  return {
    name: "model",
    label: "Model",
    element,
    show: draw,
    hide() {
      speedCalls.stop();
      testCalls.stop();
    },
    textChanged() {},
    settingsChanged() {},
    modelChanged: draw,
    key: () => false,
  };
}

/**
 * What `call` gives; where it gives nothing, `result` says again what it said before.
 * @template T
 * @param {HTMLElement} result
 * @param {string} before
 * @param {Latest} calls
 * @param {(signal: AbortSignal) => Promise<T>} call
 * @returns {Promise<T | undefined>}
 */
async function answerOr(result, before, calls, call) {
  let answer;
  try {
    answer = await calls.run(call);
  } finally {
    if (answer === undefined && !calls.busy) result.textContent = before;
  }
  return answer;
}

/** @param {Info} info */
function heading(info) {
  const {
    name,
    recipe,
    parameters,
    totalBytes,
    contextLength,
    layers,
    heads,
    vocabSize,
    provider,
  } = info;
  /** @type {[string, string][]} */
  const facts = [
    ["Parameters", parameters ? large(parameters) : ""],
    ["Size", size(totalBytes)],
    ["Sees", `${contextLength.toLocaleString("en")} tokens`],
    [
      "Shape",
      `${counted(layers, "layer")} of ${counted(heads, "head")}${info.width ? `, ${info.width} wide` : ""}`,
    ],
    ["Vocabulary", `${vocabSize.toLocaleString("en")} tokens`],
    ["Runs on", PROVIDERS[provider] ?? provider],
  ];
  const list = el("dl", { class: "figures" });
  for (const [term, value] of facts.filter(([, value]) => value)) {
    list.append(el("div", {}, el("dt", {}, term), el("dd", {}, value)));
  }
  const made = info.version ? `gpt2-edge ${info.version}` : "";
  const about = el("p", { class: "help" }, [recipe, made].filter(Boolean).join(" · "));
  return el("header", { class: "model-head" }, el("h2", {}, name), about, list);
}

/** @param {Quality | null} quality */
function quality(quality) {
  if (!quality) return [el("p", {}, "Nothing was measured when this package was made.")];
  const { perplexity, reference_perplexity: before, top1, mean_kl: divergence } = quality;
  const about = el(
    "p",
    { class: "help" },
    `Measured on ${counted(quality.tokens, "token")} of “${quality.text}” when the package was made.`,
  );
  if (before === undefined) {
    return [fact(perplexity.toFixed(2), "perplexity: this package is not quantized"), about];
  }
  const more = (100 * (perplexity / before - 1)).toFixed(1);
  const figures = [
    fact(
      `${Number(more) >= 0 ? "+" : "−"}${Math.abs(Number(more))}%`,
      `perplexity: ${perplexity.toFixed(2)}, before ${before.toFixed(2)}`,
    ),
  ];
  if (top1 !== undefined) figures.push(fact(percent(top1), "of likeliest words are the same"));
  if (divergence !== undefined) {
    figures.push(fact(divergence.toFixed(4), "nats per token of difference (mean KL divergence)"));
  }
  return [el("div", { class: "costs" }, ...figures), about];
}

/** @param {string} value @param {string} meaning */
function fact(value, meaning) {
  return el("p", { class: "cost" }, el("strong", {}, value), ` ${meaning}`);
}

/** @param {Info} info */
function files({ files }) {
  const rows = files.map(({ name, bytes, sha256 }) =>
    el(
      "li",
      {},
      el("span", { class: "file-name" }, name),
      el("span", { class: "file-size" }, size(bytes)),
      el("code", { class: "hash", title: "SHA-256" }, sha256),
    ),
  );
  return el("ul", { class: "file-list", "aria-label": "Files, their sizes and SHA-256" }, ...rows);
}

/** @param {string} title @param {string} name @param {...Node} children */
function card(title, name, ...children) {
  const id = `card-${name}`;
  const heading = el("h2", { id }, title);
  return el("section", { class: `card card-${name}`, "aria-labelledby": id }, heading, ...children);
}
