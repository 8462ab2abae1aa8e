/**
 * npm run playground -- [FOLDER [PACKAGE]]: the playground as static files in FOLDER (default:
 * build/playground), with the package that it begins with in FOLDER/package.
 */

import { existsSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { buildPlayground } from "./build-playground.js";

const web = fileURLToPath(new URL("../..", import.meta.url));
const [folder = join(web, "build/playground"), pack] = process.argv.slice(2);
if (existsSync(folder) && !existsSync(join(folder, "service-worker.js"))) {
  console.error(`${folder} is there and is no playground; name another folder, or remove it`);
  process.exit(2);
}
if (pack !== undefined && !existsSync(join(pack, "manifest.json"))) {
  console.error(`${pack} has no manifest.json; give a folder from gpt2-edge export`);
  process.exit(2);
}
await buildPlayground(folder);
if (pack !== undefined) await cp(pack, join(folder, "package"), { recursive: true });
console.log(`${resolve(folder)} is the playground; serve it from anywhere`);
