/** A package from disk: files that the user chose or dropped, in place of a download. */

import { PackageError } from "./errors.js";
import { MANIFEST_FILE } from "./manifest.js";
import { shown } from "./untrusted.js";

/** Where it seems to be, and a fetch that finds it there. */
export interface ChosenPackage {
  readonly url: string;
  readonly fetch: (url: string) => Promise<Response>;
}

/** Addresses of packages from disk begin so. */
export const DISK = "https://disk.gpt2-edge.invalid/";

/**
 * The package among `files`, those of a folder with its subfolders: the files beside the manifest
 * that is nearest to the top. PackageError where there is none.
 */
export function chosenPackage(files: readonly File[]): ChosenPackage {
  const path = (file: File): string => file.webkitRelativePath || file.name;
  const depth = (file: File): number => path(file).split("/").length;
  const [manifest] = files
    .filter(({ name }) => name === MANIFEST_FILE)
    .sort((one, other) => depth(one) - depth(other));
  if (!manifest) {
    throw new PackageError(
      `there is no ${MANIFEST_FILE} among the ${files.length} files that were chosen; choose the ` +
        "folder of a package that gpt2-edge export wrote",
    );
  }
  const folder = path(manifest).slice(0, -MANIFEST_FILE.length);
  const beside = new Map(
    files.filter((file) => path(file) === folder + file.name).map((file) => [file.name, file]),
  );
  const label = folder.split("/").at(-2) ?? "package";
  const url = `${DISK}${encodeURIComponent(label)}/`;
  return {
    url,
    fetch: async (asked) => {
      if (!asked.startsWith(DISK)) return fetch(asked); // ONNX Runtime's own files
      const name = decodeURIComponent(asked.slice(url.length));
      const file = asked.startsWith(url) ? beside.get(name) : undefined;
      if (!file) throw new PackageError(`${shown(name)} is not among the files that were chosen`);
      return new Response(file);
    },
  };
}
