// Greedy tokens of a package in transformers.js: node transformers_js.mjs PACKAGE < request.
// The request is {"prompts": [text, ...], "new_tokens": n, "unsigned": boolean}, the last of it what
// docs/PACKAGE.md asks of clients on processors without VNNI; the answer a line of JSON with the ids
// of each prompt and the tokens behind it. The folder is read as gpt2-edge export wrote it.

import { readFileSync } from "node:fs";
import { basename, dirname, resolve, sep } from "node:path";

import { AutoModelForCausalLM, AutoTokenizer, env } from "@huggingface/transformers";

const folder = resolve(process.argv[2]);
const { prompts, new_tokens: count, unsigned } = JSON.parse(readFileSync(0, "utf8"));
env.allowRemoteModels = false;
env.localModelPath = dirname(folder) + sep;
const name = basename(folder);
const tokenizer = await AutoTokenizer.from_pretrained(name);
const session_options = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  extra: { session: { x64quantprecision: unsigned ? "1" : "0" } },
};
const model = await AutoModelForCausalLM.from_pretrained(name, { subfolder: "", session_options });
const answers = [];
for (const prompt of prompts) {
  const inputs = tokenizer(prompt);
  const lengths = { max_new_tokens: count, min_new_tokens: count };
  const written = await model.generate({ ...inputs, ...lengths, do_sample: false });
  const ids = written.tolist()[0].map(Number);
  const read = inputs.input_ids.dims[1];
  answers.push({ ids: ids.slice(0, read), tokens: ids.slice(read) });
}
console.log(JSON.stringify(answers));
