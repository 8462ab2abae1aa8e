// Keeps the page's own files, so that it opens without a network. Packages are kept apart, by their
// hashes (src/kept-files.ts). The build puts the list of files and its hash in place of FILES and
// VERSION: a page is of one build, and a new one takes over once no tab has the old one open.

// Caches belong to the whole site, on which there may be other playgrounds. A scope has no blank.
const OURS = `gpt2-edge-page ${registration.scope} `;
const NAME = OURS + VERSION;

addEventListener("install", (event) => {
  const fresh = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(fresh)));
});

// What an earlier version called its caches: one for all playgrounds of the site that had its build.
const SHARED = /^gpt2-edge-page-[0-9a-f]{16}$/;

addEventListener("activate", (event) => {
  const old = (name) => name.startsWith(OURS) && name !== NAME;
  const clean = (name) => (SHARED.test(name) ? leave(name) : old(name) && caches.delete(name));
  event.waitUntil(caches.keys().then((names) => Promise.all(names.map(clean))));
});

// Takes this page's files out of a cache that other playgrounds may have theirs in: of pages within
// each other, a file is of the innermost.
async function leave(name) {
  const cache = await caches.open(name);
  const urls = (await cache.keys()).map(({ url }) => url);
  const pages = urls.filter((url) => url.endsWith("/")).sort((a, b) => b.length - a.length);
  const ours = urls.filter(
    (url) => pages.find((page) => url.startsWith(page)) === registration.scope,
  );
  await Promise.all(ours.map((url) => cache.delete(url)));
  if (ours.length > 0 && (await cache.keys()).length === 0) await caches.delete(name);
}

addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  const scope = new URL(registration.scope);
  if (method !== "GET" || origin !== scope.origin || !pathname.startsWith(scope.pathname)) return;
  const name = pathname.slice(scope.pathname.length).replace(/^(index\.html)?$/, "./");
  if (!FILES.includes(name)) return;
  const kept = caches.open(NAME).then((cache) => cache.match(new URL(name, scope)));
  event.respondWith(kept.then((response) => response ?? fetch(event.request)));
});
