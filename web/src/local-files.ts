/** Files of this machine, by file: addresses, which Node's own fetch does not take. */

/** What fetch would answer for the file at `url`; null where this is not Node, or no such address. */
export function fetchLocal(url: string): Promise<Response> | null {
  // Asked for by name, so that bundlers for browsers look for no such module.
  const files = globalThis.process?.getBuiltinModule?.("node:fs");
  return url.startsWith("file:") && files ? answer(files, url) : null;
}

async function answer(files: typeof import("node:fs"), url: string): Promise<Response> {
  const path = new URL(url);
  path.search = path.hash = "";
  try {
    return new Response(await files.promises.readFile(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return new Response(null, { status: 404 });
    throw error;
  }
}
