// The same of web/'s module, once it is built: node our_module.mjs PROVIDER PACKAGE < request.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { Generator } from "../../../web/build/src/index.js";

const [provider, folder] = process.argv.slice(2);
const { prompts, new_tokens: maxNewTokens } = JSON.parse(readFileSync(0, "utf8"));
const generator = await Generator.load(pathToFileURL(resolve(folder)), { provider, threads: 1 });
const answers = [];
for (const prompt of prompts) {
  const { ids } = await generator.generate(prompt, { maxNewTokens, ignoreEos: true });
  answers.push({ ids: generator.encode(prompt), tokens: ids });
}
console.log(JSON.stringify(answers));
await generator.dispose();
