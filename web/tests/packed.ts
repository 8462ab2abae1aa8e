/** What `npm pack` makes of the module, put into a project outside of the repository. */

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";

import { WEB } from "./support.js";

export interface Packed {
  readonly filename: string;
  /** Bytes of the archive, and of its files. */
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: { readonly path: string }[];
}

/** Unpack the module into `project`'s node_modules, and link what it depends on there. */
export function installPacked(project: string, others: readonly string[] = []): Packed {
  const options = ["--json", "--pack-destination", project];
  const said = execFileSync("npm", ["pack", ...options], { cwd: WEB, encoding: "utf8" });
  const [packed] = JSON.parse(said) as [Packed];
  const installed = join(project, "node_modules/@gpt2-edge/web");
  mkdirSync(installed, { recursive: true });
  const archive = join(project, packed.filename);
  execFileSync("tar", ["-xzf", archive, "-C", installed, "--strip-components=1"]);
  const { dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  for (const name of [...Object.keys(dependencies), ...others]) {
    link(join(WEB, "node_modules", name), join(project, "node_modules", name));
  }
  return packed;
}

export function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path);
}
