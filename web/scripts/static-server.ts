/** A small server of folders on localhost: for the demo and for the tests. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, resolve, sep } from "node:path";

const TYPES: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
// Server and client may be one process, whose event loop WebAssembly holds up for longer than a
// server keeps an idle connection. Once the loop goes on, the client sends its next request just
// before the server's timer closes the connection under it: ECONNRESET. So none is kept.
const CLOSING = { connection: "close" };
// Nor is a request that came while the loop was held up late.
const PATIENT = { headersTimeout: 0, requestTimeout: 0 };
// Browsers share memory between threads only in pages that are isolated from other sites.
const ISOLATED = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

export interface Served {
  /** Without a slash at the end. */
  readonly url: string;
  close(): Promise<void>;
}

export interface ServeOptions {
  readonly port?: number;
  /** With the headers that let pages share memory between threads (default). */
  readonly isolated?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** Is told of every path that is asked for; a status other than 200 is the whole answer. */
  readonly onRequest?: (path: string) => number | Promise<number>;
}

/** Serve each folder under its prefix ("/", "/package/"); the longest prefix that fits counts. */
export async function serve(
  folders: Readonly<Record<string, string>>,
  options: ServeOptions = {},
): Promise<Served> {
  const prefixes = Object.keys(folders).sort((a, b) => b.length - a.length);
  const headers = {
    ...CLOSING,
    ...((options.isolated ?? true) && ISOLATED),
    ...options.headers,
  };
  const server = createServer(PATIENT, async (request, response) => {
    let path: string;
    try {
      path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    } catch {
      response.writeHead(400, headers).end();
      return;
    }
    const status = (await options.onRequest?.(path)) ?? 200;
    if (status !== 200) {
      response.writeHead(status, headers).end();
      return;
    }
    const prefix = prefixes.find((candidate) => path.startsWith(candidate));
    const root = prefix && resolve(folders[prefix]!);
    const name = path.endsWith("/") ? `${path}index.html` : path;
    const file = root && resolve(root, name.slice(prefix.length));
    if (!file?.startsWith(root + sep)) response.writeHead(404, headers).end();
    else void sendFile(file, response, headers, request.headers.range);
  });
  await new Promise<void>((ready, failed) => {
    server.once("error", failed).listen(options.port ?? 0, "127.0.0.1", ready);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => close(server),
  };
}

async function sendFile(
  file: string,
  response: ServerResponse,
  headers: Record<string, string>,
  range: string | undefined,
): Promise<void> {
  const size = await stat(file).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
  if (size === undefined) {
    response.writeHead(404, headers).end();
    return;
  }
  const type = TYPES[extname(file)] ?? "application/octet-stream";
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const sent = { ...headers, "content-type": type, "content-length": size - start };
  if (start === 0) response.writeHead(200, sent);
  else response.writeHead(206, { ...sent, "content-range": `bytes ${start}-${size - 1}/${size}` });
  createReadStream(file, { start })
    .on("error", () => response.destroy())
    .pipe(response);
}

function close(server: Server): Promise<void> {
  return new Promise((closed) => {
    server.close(() => closed());
    server.closeAllConnections();
  });
}
