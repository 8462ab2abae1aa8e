/** npm run demo -- PACKAGE [PORT]: the demo page with the package in the folder PACKAGE. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { serve } from "./static-server.js";

const [folder, port = "8765"] = process.argv.slice(2);
if (!folder || !existsSync(join(folder, "manifest.json"))) {
  const what = folder ? `${folder} has no manifest.json` : "no package given";
  console.error(`${what}; npm run demo -- PACKAGE [PORT], with a folder from gpt2-edge export`);
  process.exit(2);
}
const web = fileURLToPath(new URL("../..", import.meta.url));
try {
  const { url } = await serve({ "/": web, "/package/": folder }, { port: Number(port) });
  console.log(`${url}/demo/index.html   (Ctrl-C ends it)`);
} catch (error) {
  console.error(`port ${port} cannot be used (${(error as Error).message}); give another one`);
  process.exit(2);
}
