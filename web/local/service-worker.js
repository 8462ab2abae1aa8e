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

addEventListener("activate", (event) => {
  const others = (name) => name.startsWith(OURS) && name !== NAME;
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(others).map((name) => caches.delete(name)))),
  );
});

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
