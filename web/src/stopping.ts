/** Passes text on, but holds back an end that may become one of the stop strings. */
export class StopStrings {
  readonly #strings: readonly string[];
  #held = "";
  #found = false;

  constructor(strings: readonly string[]) {
    this.#strings = strings;
  }

  /** Whether a stop string is complete: the text ends before it. */
  get found(): boolean {
    return this.#found;
  }

  /** What of the text so far may be shown. */
  push(piece: string): string {
    if (this.#strings.length === 0) return piece;
    const text = this.#held + piece;
    const starts = this.#strings.map((string) => text.indexOf(string)).filter((at) => at >= 0);
    if (starts.length > 0) {
      this.#found = true;
      this.#held = "";
      return text.slice(0, Math.min(...starts));
    }
    const held = Math.max(...this.#strings.map((string) => overlap(text, string)));
    this.#held = text.slice(text.length - held);
    return text.slice(0, text.length - held);
  }

  /** The text still held back, which turned out to be no stop string. */
  finish(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }
}

/** Length of the longest end of `text` that is a beginning of `string`, but not all of it. */
export function overlap(text: string, string: string): number {
  for (let length = Math.min(text.length, string.length - 1); length > 0; length--) {
    if (text.endsWith(string.slice(0, length))) return length;
  }
  return 0;
}
