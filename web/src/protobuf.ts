/** Protobuf as ONNX files have it: the fields of a message, read and written. */

import { UnreadableError } from "./untrusted.js";

/** A number, or bytes where the field has a length; and where the field lies in its message. */
export type Field = readonly [
  field: number,
  value: number | Uint8Array,
  begin: number,
  end: number,
];

/** The fields of a message; UnreadableError where it is none. */
export function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  let number = 0;
  const keep = (value: number): void => void (number = value);
  while (at < bytes.length) {
    const begin = at;
    at = readVarint(bytes, at, keep);
    const field = Math.floor(number / 8);
    const kind = number % 8;
    if (kind === 0) {
      at = readVarint(bytes, at, keep);
      yield [field, number, begin, at];
    } else {
      if (kind === 2) at = readVarint(bytes, at, keep);
      const size = { 1: 8, 2: number, 5: 4 }[kind];
      if (size === undefined || size > bytes.length - at) throw notOnnx();
      if (kind === 2) yield [field, bytes.subarray(at, at + size), begin, at + size];
      at += size;
    }
  }
}

/** Gives `keep` the number at `at`, and returns where it ends. Numbers beyond 2^53 are rounded. */
export function readVarint(bytes: Uint8Array, at: number, keep: (value: number) => void): number {
  let value = 0;
  for (let scale = 1; scale < 2 ** 70; scale *= 128) {
    const byte = bytes[at++];
    if (byte === undefined) break;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      keep(value);
      return at;
    }
  }
  throw notOnnx();
}

export function bytesOf(value: number | Uint8Array): Uint8Array {
  if (typeof value === "number") throw notOnnx();
  return value;
}

const decoder = new TextDecoder();

export function textOf(value: number | Uint8Array): string {
  return decoder.decode(bytesOf(value));
}

function notOnnx(): UnreadableError {
  return new UnreadableError("it is no whole ONNX file");
}

/** A field that holds a number. */
export function numberField(field: number, value: number): Uint8Array {
  return Uint8Array.from([...varint(field * 8), ...varint(value)]);
}

/** A field that holds text or a message, whose bytes come in parts. */
export function fieldOf(number: number, parts: readonly Uint8Array[]): Uint8Array[] {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return [Uint8Array.from([...varint(number * 8 + 2), ...varint(size)]), ...parts];
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** One after the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}
