/** The likeliest next words as buttons, each with a bar as long as it is likely. */

import type { NextToken } from "../src/index.js";

const MARKS: Record<string, string> = { " ": "·", "\n": "↵", "\t": "⇥" };

export class OptionButtons {
  // A keyboard user who has taken a word goes on among the next ones.
  #hadFocus = false;

  constructor(
    private readonly box: HTMLElement,
    private readonly take: (word: string) => void,
  ) {}

  /** The words shown are of another text: they stay in sight, but cannot be taken. */
  outdate(): void {
    this.#hadFocus ||= this.box.contains(document.activeElement);
    for (const button of this.box.querySelectorAll("button")) button.disabled = true;
  }

  show(options: readonly NextToken[]): void {
    this.box.replaceChildren(...options.map((option) => this.#button(option)));
    const lost = document.activeElement === null || document.activeElement === document.body;
    if (this.#hadFocus && lost) this.box.querySelector("button")?.focus();
    this.#hadFocus = false;
  }

  #button({ text, probability }: NextToken): HTMLButtonElement {
    const button = document.createElement("button");
    const percent = `${(100 * probability).toFixed(1)}%`;
    button.style.setProperty("--share", percent);
    button.setAttribute("aria-label", `${text.trim() || JSON.stringify(text)}, ${percent}`);
    button.append(span("word", ...Array.from(text, visible)), span("percent", percent));
    button.addEventListener("click", () => this.take(text));
    return button;
  }
}

function visible(character: string): Node | string {
  const mark = MARKS[character];
  return mark ? span("mark", mark) : character;
}

function span(kind: string, ...content: (Node | string)[]): HTMLSpanElement {
  const made = document.createElement("span");
  made.className = kind;
  made.append(...content);
  return made;
}
