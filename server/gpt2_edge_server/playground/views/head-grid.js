/** A small map of every head's attention: a row for each layer. */

import { el } from "../dom.js";

/** Maps are drawn with so many cells a side at most; of several weights the highest counts. */
const CELLS = 40;

export class HeadGrid {
  /** @param {(layer: number, head: number) => void} onChoose */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.weights = new Float32Array();
    this.layers = 0;
    this.heads = 0;
    this.tokens = 0;
    /** @private @type {HTMLButtonElement[]} */
    this.buttons = [];
    /** @private */
    this.at = 0;
    this.element = el("div", {
      class: "heads",
      role: "group",
      "aria-label": "A map for each head",
    });
    this.element.addEventListener("keydown", (event) => {
      if (this.key(event)) event.preventDefault();
    });
  }

  /** @param {Float32Array} weights @param {number} layers @param {number} heads @param {number} tokens */
  show(weights, layers, heads, tokens) {
    Object.assign(this, { weights, tokens });
    if (layers !== this.layers || heads !== this.heads) {
      Object.assign(this, { layers, heads, at: 0 });
      this.build();
    }
    this.draw();
  }

  /** @param {number[]} layers @param {number[]} heads */
  choose(layers, heads) {
    for (const [i, button] of this.buttons.entries()) {
      const layer = Math.floor(i / this.heads);
      const chosen = layers.includes(layer) && heads.includes(i % this.heads);
      const all = layers.length === this.layers && heads.length === this.heads;
      button.setAttribute("aria-pressed", String(chosen && !all));
    }
  }

  /** In the colours of now. */
  draw() {
    const [red = 0, green = 0, blue = 0] = accent(this.element);
    const side = Math.min(this.tokens, CELLS);
    const area = this.tokens ** 2;
    for (const [i, button] of this.buttons.entries()) {
      const canvas = /** @type {HTMLCanvasElement} */ (button.firstElementChild);
      canvas.width = canvas.height = Math.max(side, 1);
      const context = canvas.getContext("2d");
      if (!context || !side) continue;
      const image = context.createImageData(side, side);
      const cells = pooled(this.weights.subarray(i * area, (i + 1) * area), this.tokens, side);
      for (const [cell, weight] of cells.entries()) {
        // The root, as most weights are small.
        image.data.set([red, green, blue, 255 * Math.sqrt(weight)], 4 * cell);
      }
      context.putImageData(image, 0, 0);
    }
  }

  /** @private */
  build() {
    this.element.style.setProperty("--heads", String(this.heads));
    this.buttons = Array.from({ length: this.layers * this.heads }, (_, i) => {
      const layer = Math.floor(i / this.heads);
      const head = i % this.heads;
      const label = `Layer ${layer + 1}, head ${head + 1}`;
      const attributes = { type: "button", title: label, "aria-label": label };
      const button = el("button", attributes, el("canvas", { "aria-hidden": "true" }));
      button.tabIndex = i === 0 ? 0 : -1;
      button.addEventListener("click", () => {
        this.move(i);
        this.onChoose(layer, head);
      });
      return button;
    });
    this.element.replaceChildren(...this.buttons);
  }

  /** @private @param {number} index */
  move(index) {
    const old = this.buttons[this.at];
    const target = this.buttons[index];
    if (!target) return;
    if (old) old.tabIndex = -1;
    this.at = index;
    target.tabIndex = 0;
    target.focus();
  }

  /** @private @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, number>} */
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: this.heads,
      ArrowUp: -this.heads,
      Home: -this.at,
      End: this.buttons.length - 1 - this.at,
    };
    const step = steps[event.key];
    if (step === undefined) return false;
    this.move(this.at + step);
    return true;
  }
}

/**
 * A square of weights made smaller.
 * @param {Float32Array} weights  [tokens, tokens]
 * @param {number} tokens
 * @param {number} side
 */
export function pooled(weights, tokens, side) {
  const cells = new Float32Array(side * side);
  for (let query = 0; query < tokens; query += 1) {
    const row = Math.floor((query * side) / tokens) * side;
    for (let key = 0; key <= query; key += 1) {
      const cell = row + Math.floor((key * side) / tokens);
      const weight = weights[query * tokens + key] ?? 0;
      if (weight > (cells[cell] ?? 0)) cells[cell] = weight;
    }
  }
  return cells;
}

/** Red, green and blue of the accent colour. @param {HTMLElement} element */
function accent(element) {
  const context = el("canvas").getContext("2d");
  if (!context) return [0, 0, 0];
  context.fillStyle = getComputedStyle(element).color;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
}
