/**
 * The demo page: a package's address, a text, Write and Stop, and the likeliest next words to tap.
 *
 * The page's own address may say ?package=URL (default: package/ beside the demo's folder),
 * &provider=, and &threads=.
 */

import { Generator, GPT2EdgeError, type GenerationConfig, type LoadOptions } from "../src/index.js";
import { OptionButtons } from "./options.js";

const OPTIONS = 8;
const TYPING_PAUSE = 300; // milliseconds without a key before the options are computed
const MEGABYTE = 1e6;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const url = element<HTMLInputElement>("url");
const provider = element<HTMLSelectElement>("provider");
const text = element<HTMLTextAreaElement>("text");
const buttons = {
  load: element<HTMLButtonElement>("load"),
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
const model = element("model");
const speed = element("speed");
const status = element("status");
const progress = element<HTMLProgressElement>("progress");
const options = new OptionButtons(element("options"), (word) => {
  earlier.push(text.value);
  change(text.value + word);
});

/** Texts before each word that was taken and each text that was written, the oldest first. */
const earlier: string[] = [];
let generator: Generator | undefined;
/** Ends what is going on: a text being written, a package being loaded. */
let busy: AbortController | undefined;
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
  const focused = document.activeElement;
  text.disabled = generator === undefined;
  text.readOnly = busy !== undefined;
  buttons.load.disabled = busy !== undefined;
  buttons.write.disabled = busy !== undefined || generator === undefined;
  buttons.stop.disabled = busy === undefined;
  buttons.undo.disabled = busy !== undefined || earlier.length === 0;
  // Whoever pressed a button by keyboard goes on with the one that takes its place.
  if (busy && (focused === buttons.write || focused === buttons.load)) buttons.stop.focus();
  if (!busy && focused === buttons.stop) (generator ? buttons.write : buttons.load).focus();
  if (focused === buttons.undo && buttons.undo.disabled) buttons.write.focus();
}

/** Run `task` as the one thing that goes on; what goes wrong is said. */
async function alone(task: (signal: AbortSignal) => Promise<void>): Promise<void> {
  if (busy) return;
  busy = new AbortController();
  clearTimeout(typing);
  outdateOptions();
  say("");
  showState();
  try {
    await task(busy.signal);
  } catch (error) {
    if (busy.signal.aborted) say("cancelled");
    else sayError(error);
  }
  busy = undefined;
  showState();
  await showOptions();
}

function outdateOptions(): void {
  optionsAsked++;
  options.outdate();
}

/** What the settings say; empty fields take the defaults. */
function settings(): GenerationConfig {
  const given = Object.entries(inputs).filter(([, input]) => input.value !== "");
  return Object.fromEntries(given.map(([key, input]) => [key, input.valueAsNumber]));
}

async function write(signal: AbortSignal): Promise<void> {
  if (!generator) return;
  const before = text.value;
  speed.textContent = "";
  try {
    const stream = generator.stream(before, settings(), { signal });
    for await (const piece of stream) {
      text.value += piece;
      text.scrollTop = text.scrollHeight;
    }
    const { ids, finishReason, seed, promptSeconds, decodeTokensPerSecond } = stream.result;
    const rate = decodeTokensPerSecond && `${decodeTokensPerSecond.toFixed(1)} tokens/s`;
    speed.textContent = rate ? `${rate}, the first after ${promptSeconds.toFixed(2)} s` : "";
    say(`${ids.length} tokens, ended by ${finishReason}${seed === null ? "" : `, seed ${seed}`}`);
  } finally {
    if (text.value !== before) earlier.push(before);
  }
}

async function showOptions(): Promise<void> {
  if (!generator || busy) return;
  outdateOptions();
  const asked = optionsAsked;
  if (text.value === "") {
    options.show([]);
    return;
  }
  try {
    const found = await generator.nextTokens(text.value, OPTIONS);
    if (asked === optionsAsked) options.show(found); // else the text has changed meanwhile
  } catch (error) {
    if (asked !== optionsAsked) return;
    options.show([]);
    sayError(error);
  }
}

function change(value: string): void {
  text.value = value;
  text.scrollTop = text.scrollHeight;
  say("");
  showState();
  void showOptions();
}

async function load(signal: AbortSignal): Promise<void> {
  const threads = new URLSearchParams(location.search).get("threads");
  await generator?.dispose();
  generator = undefined;
  options.show([]);
  model.textContent = "no package loaded";
  model.title = "";
  progress.hidden = false;
  progress.value = 0;
  try {
    generator = await Generator.load(url.value, {
      provider: provider.value as NonNullable<LoadOptions["provider"]>,
      worker: true, // steps of a large model would hold up the page
      signal,
      onProgress: ({ loaded, total }) => {
        progress.value = loaded / total;
        const [done, all] = [loaded, total].map((bytes) => (bytes / MEGABYTE).toFixed(1));
        model.textContent = loaded < total ? `${done} of ${all} MB` : `${all} MB, starting`;
      },
      ...(threads && { threads: Number(threads) }),
    });
  } catch (error) {
    model.textContent = "no package loaded";
    throw error;
  } finally {
    progress.hidden = true;
  }
  const { name, recipe, files } = generator.manifest;
  const size = [...files.values()].reduce((sum, file) => sum + file.bytes, 0) / MEGABYTE;
  model.textContent = `${name}, ${recipe}, ${size.toFixed(1)} MB, on ${generator.provider}`;
  model.title = generator.fallbackReason ?? "";
}

element("package").addEventListener("submit", (event) => {
  event.preventDefault();
  void alone(load);
});
buttons.write.addEventListener("click", () => void alone(write));
buttons.stop.addEventListener("click", () => busy?.abort());
buttons.undo.addEventListener("click", () => {
  const before = earlier.pop();
  if (before !== undefined) change(before);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") busy?.abort();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) buttons.write.click();
});
text.addEventListener("input", () => {
  clearTimeout(typing);
  outdateOptions();
  typing = setTimeout(() => void showOptions(), TYPING_PAUSE);
});

const asked = new URLSearchParams(location.search);
url.value = asked.get("package") ?? "../package/";
const wanted = asked.get("provider");
if ([...provider.options].some(({ value }) => value === wanted)) provider.value = wanted!;
await alone(load);
