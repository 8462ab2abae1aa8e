/**
 * Passes text on, but holds back an end that may become one of `strings`. include: the string that
 * ends the text is part of it. spec/stopping.json has examples.
 */
export class StopStrings {
  #held = "";
  #found = false;

  constructor(
    private readonly strings: readonly string[],
    private readonly include = false,
  ) {}

  /** Whether a stop string is complete: the text ends before it, or behind it. */
  get found(): boolean {
    return this.#found;
  }

  /** What of the text so far may be shown. */
  push(piece: string): string {
    if (this.strings.length === 0) return piece;
    const text = this.#held + piece;
    const [first] = this.strings
      .map((string) => ({ start: text.indexOf(string), length: string.length }))
      .filter(({ start }) => start >= 0)
      .sort((a, b) => a.start - b.start || a.length - b.length);
    if (first) {
      this.#found = true;
      this.#held = "";
      return text.slice(0, first.start + (this.include ? first.length : 0));
    }
    const held = Math.max(...this.strings.map((string) => overlap(text, string)));
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
