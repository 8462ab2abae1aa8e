/** `gpt2-edge serve`, as a process of its own. */

import { spawn } from "node:child_process";
import { once } from "node:events";

import { PACKAGES } from "./support.js";

export interface ServerProcess {
  readonly url: string;
  /** Ends it at once; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Serves the package `name` of make_packages.py, on any port that is free. */
export async function startServer(
  name: string,
  options: readonly string[] = [],
): Promise<ServerProcess> {
  const python = process.env["PYTHON"] ?? "python3";
  const server = spawn(
    python,
    ["-m", "gpt2_edge", "serve", `${PACKAGES}${name}`, "--port", "0", ...options],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const exited = once(server, "exit");
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const read = (piece: Buffer): void => {
      output += piece.toString();
      const address = /http:\/\/[\w.]+:\d+(?= )/.exec(output)?.[0];
      if (address) resolve(`${address}/`);
    };
    server.stdout.on("data", read);
    server.stderr.on("data", read);
    server.on("error", reject);
    server.on("exit", (code) => reject(new Error(`serve ended with ${code}: ${output}`)));
  });
  return {
    url,
    async kill() {
      server.kill("SIGKILL");
      await exited;
    },
  };
}
