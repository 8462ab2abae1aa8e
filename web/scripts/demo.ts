/** npm run demo -- PACKAGE [PORT]: the playground on localhost, with the package in PACKAGE. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { buildPlayground } from "./build-playground.js";
import { serve } from "./static-server.js";

const [folder, port = "8765"] = process.argv.slice(2);
if (!folder || !existsSync(join(folder, "manifest.json"))) {
  const what = folder ? `${folder} has no manifest.json` : "no package given";
  console.error(`${what}; npm run demo -- PACKAGE [PORT], with a folder from gpt2-edge export`);
  process.exit(2);
}
const page = fileURLToPath(new URL("../playground", import.meta.url));
try {
  await buildPlayground(page);
} catch (error) {
  console.error((error as Error).message);
  process.exit(2);
}
try {
  const { url } = await serve({ "/": page, "/package/": folder }, { port: Number(port) });
  console.log(`${url}/   (Ctrl-C ends it)`);
} catch (error) {
  console.error(`port ${port} cannot be used (${(error as Error).message}); give another one`);
  process.exit(2);
}
