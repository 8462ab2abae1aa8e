/** Tokens as text, given out as it becomes certain, up to a stop string. */

import type { DetokenizerStream } from "./detokenizer.js";
import { StopStrings } from "./stopping.js";

/** Text of tokens that come one by one: never half a character, nor part of a stop string. */
export class TextWriter {
  readonly #stops: StopStrings;

  constructor(
    private readonly detokenizer: DetokenizerStream,
    stopStrings: readonly string[],
    include: boolean,
  ) {
    this.#stops = new StopStrings(stopStrings, include);
  }

  /** Whether a stop string has ended the text. */
  get stopped(): boolean {
    return this.#stops.found;
  }

  /** The text that became certain with this token. */
  push(id: number): string {
    return this.#stops.push(this.detokenizer.push(id));
  }

  /** The rest of the text, of which no more tokens come. */
  finish(): string {
    if (this.stopped) return "";
    const rest = this.#stops.push(this.detokenizer.finish());
    return rest + this.#stops.finish();
  }
}
