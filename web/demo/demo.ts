/**
 * The demo page: a text, Write and Stop, and the likeliest next words to tap.
 *
 * Its address may say ?package=URL (default: package/ beside the demo's folder), &provider=, and
 * &threads=.
 */

import { Generator, GPT2EdgeError, type GenerationConfig, type LoadOptions } from "../src/index.js";

const OPTIONS = 8;
const TYPING_PAUSE = 300; // milliseconds without a key before the options are computed

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const text = element<HTMLTextAreaElement>("text");
const buttons = {
  write: element<HTMLButtonElement>("write"),
  stop: element<HTMLButtonElement>("stop"),
  undo: element<HTMLButtonElement>("undo"),
};
const inputs = {
  temperature: element<HTMLInputElement>("temperature"),
  topK: element<HTMLInputElement>("top-k"),
  maxNewTokens: element<HTMLInputElement>("tokens"),
  seed: element<HTMLInputElement>("seed"),
};
const options = element("options");
const speed = element<HTMLOutputElement>("speed");
const status = element("status");
const progress = element<HTMLProgressElement>("progress");

/** Texts before each word that was taken and each text that was written, the oldest first. */
const earlier: string[] = [];
let generator: Generator | undefined;
let writing: AbortController | undefined;
let optionsAsked = 0;
let typing: ReturnType<typeof setTimeout> | undefined;

function say(message: string, wrong = false): void {
  status.textContent = message;
  status.classList.toggle("wrong", wrong);
}

function sayError(error: unknown): void {
  say(error instanceof GPT2EdgeError ? error.message : `unexpected: ${error}`, true);
  if (!(error instanceof GPT2EdgeError)) console.error(error);
}

function showState(): void {
  const busy = writing !== undefined;
  text.disabled = generator === undefined;
  text.readOnly = busy;
  buttons.write.disabled = busy || generator === undefined;
  buttons.stop.disabled = !busy;
  buttons.undo.disabled = busy || earlier.length === 0;
}

/** The options shown are of another text: they stay in sight, but cannot be taken. */
function outdateOptions(): void {
  optionsAsked++;
  for (const button of options.querySelectorAll("button")) button.disabled = true;
}

/** What the settings say; empty fields take the defaults. */
function settings(): GenerationConfig {
  const given = Object.entries(inputs).filter(([, input]) => input.value !== "");
  return Object.fromEntries(given.map(([key, input]) => [key, input.valueAsNumber]));
}

async function write(): Promise<void> {
  if (!generator || writing) return;
  const before = text.value;
  const abort = (writing = new AbortController());
  clearTimeout(typing);
  outdateOptions();
  speed.textContent = "";
  say("");
  showState();
  try {
    const stream = generator.stream(before, settings(), { signal: abort.signal });
    for await (const piece of stream) {
      text.value += piece;
      text.scrollTop = text.scrollHeight;
    }
    const { ids, finishReason, seed, decodeTokensPerSecond: rate } = stream.result;
    speed.textContent = rate ? `${rate.toFixed(1)} tokens/s` : "";
    say(`${ids.length} tokens, ended by ${finishReason}${seed === null ? "" : `, seed ${seed}`}`);
  } catch (error) {
    sayError(error);
  }
  if (text.value !== before) earlier.push(before);
  writing = undefined;
  showState();
  await showOptions();
}

async function showOptions(): Promise<void> {
  if (!generator || writing) return;
  outdateOptions();
  const asked = optionsAsked;
  if (text.value === "") {
    options.replaceChildren();
    return;
  }
  try {
    const found = await generator.nextTokens(text.value, OPTIONS);
    if (asked !== optionsAsked) return; // the text has changed meanwhile
    options.replaceChildren(
      ...found.map((option) => optionButton(option.text, option.probability)),
    );
  } catch (error) {
    if (asked !== optionsAsked) return;
    options.replaceChildren();
    sayError(error);
  }
}

function optionButton(word: string, probability: number): HTMLButtonElement {
  const button = document.createElement("button");
  const percent = `${(100 * probability).toFixed(1)}%`;
  button.style.setProperty("--share", percent);
  const shown = { word: word.replaceAll("\n", "↵").replaceAll(" ", "␣"), percent };
  for (const [kind, content] of Object.entries(shown)) {
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = content;
    button.append(span);
  }
  button.addEventListener("click", () => {
    earlier.push(text.value);
    change(text.value + word);
  });
  return button;
}

function change(value: string): void {
  text.value = value;
  text.scrollTop = text.scrollHeight;
  say("");
  showState();
  void showOptions();
}

function loadOptions(asked: URLSearchParams): LoadOptions {
  const provider = asked.get("provider");
  const threads = asked.get("threads");
  return {
    worker: true, // steps of a large model would hold up the page
    onProgress: ({ loaded, total }) => (progress.value = loaded / total),
    ...(provider && { provider: provider as NonNullable<LoadOptions["provider"]> }),
    ...(threads && { threads: Number(threads) }),
  };
}

async function load(): Promise<void> {
  const asked = new URLSearchParams(location.search);
  try {
    generator = await Generator.load(asked.get("package") ?? "../package/", loadOptions(asked));
  } catch (error) {
    element("model").textContent = "not loaded";
    sayError(error);
    return;
  } finally {
    progress.hidden = true;
  }
  const { name, recipe } = generator.manifest;
  element("model").textContent = `${name}, ${recipe}, on ${generator.provider}`;
  showState();
  await showOptions();
}

buttons.write.addEventListener("click", () => void write());
buttons.stop.addEventListener("click", () => writing?.abort());
buttons.undo.addEventListener("click", () => {
  const before = earlier.pop();
  if (before !== undefined) change(before);
});
text.addEventListener("input", () => {
  clearTimeout(typing);
  outdateOptions();
  typing = setTimeout(() => void showOptions(), TYPING_PAUSE);
});
await load();
