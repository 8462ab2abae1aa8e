/** What several tests need: the packages that make_packages.py wrote, served on localhost. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { serve, type Served } from "../scripts/static-server.js";

export const WEB = fileURLToPath(new URL("../..", import.meta.url));
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const PACKAGES = `${WEB}build/packages/`;

export interface TextCase {
  readonly prompt: string;
  readonly ids: number[];
  readonly text: string;
  /** How clear the least clear decision was in Python. */
  readonly margin: number;
  /** The largest logits before every token, [id, logit]. */
  readonly logits?: [number, number][][];
  readonly config?: { seed: number; topK: number; temperature: number; topP: number };
}

export interface PackageCase {
  readonly greedy: TextCase;
  readonly sampled?: TextCase;
  readonly next: {
    readonly prompt: string;
    readonly tokens: { id: number; text: string; probability: number }[];
  };
}

export interface Expected {
  readonly packages: Readonly<Record<string, PackageCase>>;
  readonly slide: { readonly prompt: number[]; readonly ids: number[] };
  readonly tokenizer: { text: string | null; ids: number[]; decoded: string }[];
}

export function readExpected(): Expected {
  const file = `${PACKAGES}expected.json`;
  assert.ok(existsSync(file), `${file} is missing; run web/test.sh, or tests/make_packages.py`);
  return JSON.parse(readFileSync(file, "utf8")) as Expected;
}

/** The repository's web folder at /, the packages at /packages/. */
export function serveAll(): Promise<Served> {
  return serve({ "/": WEB, "/packages/": PACKAGES });
}
