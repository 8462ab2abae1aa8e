"""The page's files: the package's own data, read once when the server starts."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
    "wasm": "application/wasm",
}
_FOLDER = Path(__file__).with_name("playground")
_PACKED = ("text/", "application/json", "image/svg", "application/manifest")


@dataclass(frozen=True)
class StaticFile:
    """One file of the page, as an ASGI application. packed: the same by gzip, where it pays."""

    kind: str
    content: bytes
    packed: bytes | None
    tag: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope)
        headers = {"etag": self.tag, "cache-control": "no-cache", "vary": "Accept-Encoding"}
        content, status = self.content, 200
        known = {
            tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")
        }
        if self.tag in known or "*" in known:
            content, status = b"", 304
        else:
            headers["content-type"] = self.kind
            if self.packed is not None and "gzip" in asked.get("accept-encoding", ""):
                content, headers["content-encoding"] = self.packed, "gzip"
            headers["content-length"] = str(len(content))
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})


def page_files() -> dict[str, StaticFile]:
    """Every file of the playground by its path on the server; index.html is / as well."""
    found = {}
    for file in sorted(_FOLDER.rglob("*")):
        kind = _TYPES.get(file.suffix.removeprefix("."))
        if kind is None or not file.is_file():  # a folder, an editor's own file
            continue
        path, content = f"/{file.relative_to(_FOLDER).as_posix()}", file.read_bytes()
        packed = gzip.compress(content, 9, mtime=0) if kind.startswith(_PACKED) else None
        if packed is not None and len(packed) >= len(content):
            packed = None
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        found[path] = StaticFile(kind, content, packed, tag)
    if "/index.html" in found:
        found["/"] = found["/index.html"]
    return found
