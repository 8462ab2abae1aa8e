/**
 * npm run playground -- [FOLDER [PACKAGE]]: the playground as static files in FOLDER (default:
 * build/playground), with the package that it begins with in FOLDER/package. Without PACKAGE, the
 * one of an earlier build stays.
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { buildPlayground } from "./build-playground.js";

const web = fileURLToPath(new URL("../..", import.meta.url));
const [folder = join(web, "build/playground"), pack] = process.argv.slice(2);
if (pack !== undefined && !existsSync(join(pack, "manifest.json"))) {
  console.error(`${pack} has no manifest.json; give a folder from gpt2-edge export`);
  process.exit(2);
}
try {
  await buildPlayground(folder, pack);
} catch (error) {
  console.error((error as Error).message);
  process.exit(2);
}
console.log(`${resolve(folder)} is the playground; serve it from anywhere`);
