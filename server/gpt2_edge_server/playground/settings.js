/** How words are drawn: four sliders, the length, the seed. The same for all views, and kept. */

import { button, el } from "./dom.js";

/** @typedef {import("./backend.js").Drawing} Drawing */

const KEPT = "gpt2-edge/settings";
const SEEDS = 2 ** 32;
const TOP_K = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60, 100, 200, 500, 1000, 0];

/**
 * @typedef {"temperature" | "topK" | "topP" | "minP" | "length"} Name
 * @typedef {object} Slider
 * @property {Name} name
 * @property {string} label
 * @property {string} help
 * @property {number} min
 * @property {number} max
 * @property {number} step
 * @property {(position: number) => number} value
 * @property {(value: number) => number} position
 * @property {(value: number) => string} shown
 */
const same = (/** @type {number} */ value) => value;
/** @type {Slider[]} */
const SLIDERS = [
  {
    name: "temperature",
    label: "Temperature",
    help: "Low: the likely words. High: bolder ones.",
    min: 0,
    max: 2,
    step: 0.05,
    value: same,
    position: same,
    shown: (value) => (value === 0 ? "always the likeliest" : value.toFixed(2)),
  },
  {
    name: "topK",
    label: "Top-k",
    help: "Only the k likeliest words.",
    min: 0,
    max: TOP_K.length - 1,
    step: 1,
    value: (position) => TOP_K[position] ?? 0,
    position: (value) => Math.max(TOP_K.indexOf(value), 0),
    shown: (value) => (value ? value.toLocaleString("en") : "all words"),
  },
  {
    name: "topP",
    label: "Top-p",
    help: "Only the likeliest words that make up this share.",
    min: 0.05,
    max: 1,
    step: 0.01,
    value: same,
    position: same,
    shown: (value) => (value < 1 ? `${Math.round(100 * value)}%` : "all of it"),
  },
  {
    name: "minP",
    label: "Min-p",
    help: "Only words at least this likely, beside the likeliest.",
    min: 0,
    max: 0.5,
    step: 0.01,
    value: same,
    position: same,
    shown: (value) => (value ? `${Math.round(100 * value)}%` : "off"),
  },
  {
    name: "length",
    label: "How much at a time",
    help: "For Write on, in tokens: a word is one or a few.",
    min: 10,
    max: 400,
    step: 10,
    value: same,
    position: same,
    shown: (value) => `${value} tokens`,
  },
];

/** What writes well with GPT-2, and what the model itself says. */
const WRITING = { temperature: 1, topK: 40, topP: 1, minP: 0, length: 80 };
const PLAIN = { temperature: 1, topK: 0, topP: 1, minP: 0 };

export class Settings {
  /** @param {import("./storage.js").Shelf} storage */
  constructor(storage) {
    this.storage = storage;
    /** @type {Record<Name, number>} */
    this.values = { ...WRITING };
    this.seed = randomSeed();
    /** @private @type {Set<() => void>} */
    this.listeners = new Set();
    this.read();
  }

  /** @returns {Drawing} */
  drawing() {
    const { temperature, topK, topP, minP } = this.values;
    return { temperature, topK, topP, minP, seed: this.seed };
  }

  /** @param {Partial<Record<Name, number>>} values */
  set(values) {
    Object.assign(this.values, values);
    try {
      this.storage.setItem(KEPT, JSON.stringify(this.values));
    } catch {
      // No room: they hold for this visit.
    }
    this.changed();
  }

  /** @param {number} seed */
  setSeed(seed) {
    this.seed = Math.trunc(seed) % SEEDS || 0;
    this.changed();
  }

  /** The seed of the next draw, another than before. */
  advance() {
    this.setSeed(this.seed + 1);
  }

  /** @param {() => void} listener */
  onChange(listener) {
    this.listeners.add(listener);
  }

  /** @private */
  changed() {
    for (const listener of this.listeners) listener();
  }

  /** @private */
  read() {
    try {
      const kept = JSON.parse(this.storage.getItem(KEPT) ?? "{}");
      for (const { name, min, max, value } of SLIDERS) {
        const found = kept[name];
        const fits = name === "topK" ? TOP_K.includes(found) : found >= value(min) && found <= max;
        if (typeof found === "number" && fits) this.values[name] = found;
      }
    } catch {
      // What is there is not ours.
    }
  }
}

/** @returns {number} */
export function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/**
 * The sliders for `settings`: several sets of them on the page move together.
 * @param {Settings} settings
 * @param {{length: boolean, prefix: string}} options  prefix: of the ids.
 */
export function sliders(settings, { length, prefix }) {
  const rows = SLIDERS.filter(({ name }) => length || name !== "length").map((slider) =>
    sliderRow(slider, settings, prefix),
  );
  const seed = el("input", {
    type: "number",
    min: 0,
    max: SEEDS - 1,
    step: 1,
    id: `${prefix}-seed`,
  });
  seed.addEventListener("change", () => {
    settings.setSeed(Math.min(Math.max(Number(seed.value) || 0, 0), SEEDS - 1));
  });
  const roll = button("die", "Roll", () => settings.setSeed(randomSeed()), {
    class: "icon-only quiet",
    "aria-label": "Another seed",
    title: "Another seed",
  });
  const update = () => {
    for (const row of rows) row.update();
    seed.value = String(settings.seed);
  };
  settings.onChange(update);
  update();
  return el(
    "div",
    { class: "sliders" },
    ...rows.map((row) => row.element),
    el(
      "div",
      { class: "seed" },
      el("label", { for: seed.id }, "Seed"),
      el("div", { class: "seed-field" }, seed, roll),
      el("p", { class: "help" }, "The same seed and text give the same words."),
    ),
    el(
      "div",
      { class: "presets" },
      button("", "Model’s own", () => settings.set(PLAIN), { class: "quiet" }),
      button("", "For writing", () => settings.set(WRITING), { class: "quiet" }),
    ),
  );
}

/** @param {Slider} slider @param {Settings} settings @param {string} prefix */
function sliderRow(slider, settings, prefix) {
  const id = `${prefix}-${slider.name}`;
  const { min, max, step } = slider;
  const describedby = `${id}-help`;
  const input = el("input", { type: "range", id, min, max, step, "aria-describedby": describedby });
  const shown = el("output", { for: id });
  input.addEventListener("input", () => {
    settings.set({ [slider.name]: slider.value(Number(input.value)) });
  });
  const update = () => {
    const value = settings.values[slider.name];
    input.value = String(slider.position(value));
    shown.textContent = slider.shown(value);
    input.setAttribute("aria-valuetext", slider.shown(value));
    const part = (slider.position(value) - min) / (max - min);
    input.style.setProperty("--part", String(part));
  };
  const label = el("label", { for: id }, slider.label);
  const help = el("p", { class: "help", id: describedby }, slider.help);
  const head = el("div", { class: "slider-head" }, label, shown);
  return { element: el("div", { class: "slider" }, head, input, help), update };
}
