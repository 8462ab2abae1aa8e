/**
 * What comes out of a file or over the network is untrusted: it is read within bounds, and shown
 * within bounds. The same rules as Python's untrusted.py; this file stands alone.
 */

/** Largest manifest.json or generation_config.json, and largest tokenizer.json, in bytes. */
export const JSON_LIMIT = 8 * 2 ** 20;
export const TOKENIZER_LIMIT = 48 * 2 ** 20;

const SHOWN = 80; // characters of a value
const LINE = 1000; // characters of a message
const DEPTH = 200; // of objects and arrays within each other
const CAUSES = 4; // errors behind an error

/** Why something could not be read, in words that stand behind its name; callers say what to do. */
export class UnreadableError extends Error {}

/**
 * The JSON value that `content` (UTF-8, without a byte order mark) holds. UnreadableError where it
 * is none, is nested deeper than any file of ours, or has an object with a key twice: JSON.parse
 * takes the last one, another reader the first.
 */
export function parseJson(content: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch (error) {
    throw new UnreadableError("it is not UTF-8", { cause: error });
  }
  checkStructure(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UnreadableError(reason(error), { cause: error });
  }
}

/** The JSON object that `content` holds; UnreadableError where it holds none. */
export function parseJsonObject(content: Uint8Array): Readonly<Record<string, unknown>> {
  const value = parseJson(content);
  if (!isObject(value)) throw new UnreadableError("it holds no JSON object");
  return value;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Depth and keys of `text`; of text that is not JSON it finds whatever it finds. */
function checkStructure(text: string): void {
  const open: (Set<string> | null)[] = []; // the keys of an object, null for an array
  const marks = /["{}[\]]/g;
  for (let mark = marks.exec(text); mark; mark = marks.exec(text)) {
    if (mark[0] === '"') {
      const end = endOfString(text, marks.lastIndex);
      const keys = open.at(-1);
      if (keys && isKey(text, end)) {
        const raw = text.slice(mark.index, end);
        const key = raw.includes("\\") ? unescaped(raw) : raw;
        if (keys.has(key)) throw new UnreadableError(`an object has the key ${cut(key)} twice`);
        keys.add(key);
      }
      marks.lastIndex = end;
    } else if (mark[0] === "{" || mark[0] === "[") {
      if (open.push(mark[0] === "{" ? new Set() : null) > DEPTH) {
        throw new UnreadableError("it is nested too deeply");
      }
    } else {
      open.pop();
    }
  }
}

/** Where the string whose content starts at `from` ends, its quote included. */
function endOfString(text: string, from: number): number {
  for (let quote = text.indexOf('"', from); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (text[quote - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
  }
  return text.length;
}

const BLANK = /[\t\n\r ]/;

function isKey(text: string, end: number): boolean {
  while (BLANK.test(text.charAt(end))) end++;
  return text[end] === ":";
}

function unescaped(raw: string): string {
  try {
    return JSON.stringify(JSON.parse(raw));
  } catch {
    return raw; // no string of JSON; JSON.parse will say so
  }
}

/** The body of `response`, at most `limit` bytes of it: UnreadableError beyond. */
export async function readBody(response: Response, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read()) {
    size += chunk.value.length;
    if (size > limit) {
      await reader?.cancel();
      throw new UnreadableError(`it has more than ${limit >> 20} MB`);
    }
    chunks.push(chunk.value);
  }
  const content = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    content.set(chunk, at);
    at += chunk.length;
  }
  return content;
}

/** `value` for a message, as JavaScript or JSON writes it, cut to a sensible length. */
export function shown(value: unknown): string {
  let text: string;
  if (typeof value === "string") {
    text = JSON.stringify(value.slice(0, SHOWN + 1));
  } else if (typeof value === "bigint") {
    text = BigInt.asIntN(64, value) === value ? `${value}n` : "a bigint beyond 64 bits";
  } else if (Array.isArray(value) || isObject(value)) {
    text = ArrayBuffer.isView(value) ? `a ${kindOf(value)}` : shownJson(value);
  } else {
    text = String(value);
  }
  return cut(text);
}

function cut(text: string): string {
  const line = printable(text.slice(0, SHOWN + 1));
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
}

function shownJson(value: object): string {
  try {
    return JSON.stringify(value) ?? kindOf(value);
  } catch {
    return `a ${kindOf(value)}`; // nested too deeply, a circle, a bigint in it
  }
}

function kindOf(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

// Controls, formats, surrogates, what is not assigned, and blanks but for the space.
const UNPRINTABLE = /(?! )[\p{C}\p{Z}]/gu;

/** `text` with everything that could steer a terminal as an escape, such as \u001b or \n. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0)!;
    const simple = { 9: "\\t", 10: "\\n", 13: "\\r" }[code];
    return simple ?? (code > 0xffff ? `\\u{${hex(code, 5)}}` : `\\u${hex(code, 4)}`);
  });
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

/** `text` as one printable line; of a longer one, the beginning and the end. */
export function oneLine(text: string): string {
  if (text.length > 2 * LINE) text = `${text.slice(0, LINE)}${text.slice(-LINE)}`;
  const line = printable(text);
  if (line.length <= LINE) return line;
  const end = Math.floor(LINE / 3);
  return `${line.slice(0, LINE - end - 3)} … ${line.slice(-end)}`;
}

/**
 * What was thrown, in a line: the first line of its message, and what stands behind it. Node's
 * fetch says only "fetch failed"; its cause has the code (ECONNREFUSED).
 */
export function reason(thrown: unknown): string {
  const parts: string[] = [];
  let error: unknown = thrown;
  for (let depth = 0; depth < CAUSES && error !== undefined && error !== null; depth++) {
    const { code, message, cause } =
      typeof error === "object"
        ? (error as { code?: unknown; message?: unknown; cause?: unknown })
        : { message: error };
    const words = String(message ?? "").split("\n", 1)[0]!;
    parts.push(typeof code === "string" && !words.includes(code) ? `${code} ${words}` : words);
    error = cause;
  }
  const known = parts.map((part) => part.trim()).filter((part) => part !== "");
  return oneLine([...new Set(known)].join(": ")) || kindOf(Object(thrown));
}
