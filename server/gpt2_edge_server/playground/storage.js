/** What browsers keep for the page; where they are told to keep nothing, until the page goes. */

/** What all tabs share. */
export const shared = storageOf(() => localStorage);
/** What this tab keeps over a reload. */
export const own = storageOf(() => sessionStorage);

/** @typedef {Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">} Shelf */

/** @param {() => Storage} open @returns {Shelf} */
function storageOf(open) {
  try {
    return open();
  } catch {
    return memory();
  }
}

/** @returns {Shelf} */
function memory() {
  /** @type {Map<string, string>} */
  const items = new Map();
  return {
    get length() {
      return items.size;
    },
    key: (index) => [...items.keys()][index] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
