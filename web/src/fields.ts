/** Values of JSON that is not trusted, asked for by key, type and range. */

import { isObject, shown } from "./untrusted.js";

/** Of a file, an input or an output, in characters; file systems allow as many bytes. */
export const LONGEST_NAME = 255;

/** What is wrong with a value, and where it stands. */
export class DamagedError extends Error {}

/** An object out of JSON whose values are asked for by key and type. */
export class Fields {
  readonly #raw: Readonly<Record<string, unknown>>;

  constructor(
    raw: unknown,
    private readonly where: string,
  ) {
    if (!isObject(raw)) throw new DamagedError(`${where} is ${shown(raw)}`);
    this.#raw = raw;
  }

  keys(): string[] {
    return Object.keys(this.#raw);
  }

  fields(key: string): Fields {
    return new Fields(this.#value(key), this.#path(key));
  }

  fieldsOrNull(key: string): Fields | null {
    return this.#isNull(key) ? null : this.fields(key);
  }

  /** An object that nothing is asked of; null where there is none. */
  objectOrNull(key: string): Readonly<Record<string, unknown>> | null {
    const value = this.#isNull(key) ? null : this.#value(key);
    return isObject(value) ? value : null;
  }

  text(key: string): string {
    return this.#checked(key, (value) => typeof value === "string");
  }

  textOrNull(key: string): string | null {
    return this.#isNull(key) ? null : this.text(key);
  }

  /** The name of an input or output. */
  name(key: string): string {
    const isName = (value: unknown) =>
      typeof value === "string" && value !== "" && value.length <= LONGEST_NAME;
    return this.#checked(key, isName, "not a name");
  }

  nameOrNull(key: string): string | null {
    return this.#isNull(key) ? null : this.name(key);
  }

  /** A name for each layer, with {i} in the place of its number. */
  layerName(key: string): string {
    const name = this.name(key);
    if (name.split("{i}").length !== 2) {
      throw new DamagedError(`${this.#path(key)} is ${shown(name)}, which must have {i} once`);
    }
    return name;
  }

  sha256(key: string): string {
    const isHash = (value: unknown) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
    return this.#checked(key, isHash, "not a SHA-256");
  }

  number(key: string): number {
    return this.#checked(key, (value) => Number.isFinite(value));
  }

  size(key: string): number {
    return this.#checked(key, (value) => Number.isSafeInteger(value) && (value as number) >= 0);
  }

  count(key: string, most = Number.MAX_SAFE_INTEGER): number {
    const isCount = (value: unknown) =>
      Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= most;
    return this.#checked(key, isCount, `not a whole number from 1 to ${most}`);
  }

  countOrNull(key: string): number | null {
    return this.#isNull(key) ? null : this.count(key);
  }

  idOrNull(key: string, vocabSize: number): number | null {
    if (this.#isNull(key)) return null;
    return this.#checked(key, isIdBelow(vocabSize), `not an id in a vocabulary of ${vocabSize}`);
  }

  ids(key: string, vocabSize: number): number[] {
    const isId = isIdBelow(vocabSize);
    const areIds = (value: unknown) => Array.isArray(value) && value.every(isId);
    return this.#checked(key, areIds, `not all ids in a vocabulary of ${vocabSize}`);
  }

  #checked<T>(key: string, fine: (value: unknown) => boolean, why = ""): T {
    const value = this.#value(key);
    if (fine(value)) return value as T;
    throw new DamagedError(`${this.#path(key)} is ${shown(value)}${why && `, ${why}`}`);
  }

  #value(key: string): unknown {
    if (!Object.hasOwn(this.#raw, key)) throw new DamagedError(`${this.#path(key)} is missing`);
    return this.#raw[key];
  }

  #isNull(key: string): boolean {
    return !Object.hasOwn(this.#raw, key) || this.#raw[key] === null;
  }

  #path(key: string): string {
    return `${this.where}.${key}`;
  }
}

function isIdBelow(vocabSize: number): (value: unknown) => boolean {
  return (value) =>
    Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < vocabSize;
}
