"""What stands in front of every endpoint: who may ask, and the headers of every answer."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt2_edge.untrusted import one_line
from gpt2_edge_server.errors import ApiError, as_api_error, shutting_down
from gpt2_edge_server.exchange import ClientGone, Exchange
from gpt2_edge_server.metrics import Metrics
from gpt2_edge_server.options import ServerOptions

# The page is scripts and styles of its own, and talks to its own server.
_POLICY = "; ".join([
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
])  # fmt: skip
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


class Guard:
    """Outermost: the Host and Origin that a browser says, headers, and errors nobody foresaw.

    own: names of a loopback server beside the usual ones; None for one that others can reach.
    """

    def __init__(
        self,
        app: ASGIApp,
        cors: Iterable[str],
        own: Iterable[str] | None,
        metrics: Metrics,
        log: Callable[[str], None],
    ) -> None:
        self._app, self._metrics, self._log = app, metrics, log
        self._cors = tuple(cors)
        # A page of a stranger can make its own name mean this machine (DNS rebinding), not ours.
        local = {"localhost", "127.0.0.1", "::1"}
        self._hosts = None if own is None else local | {name.lower() for name in own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", []), *_RAW_HEADERS]
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
            await self._app(scope, receive, guarded)
        except ClientGone:
            return
        except Exception as error:
            if not isinstance(error, ApiError):
                self._log(one_line(f"{type(error).__name__}: {error}", 300))
            if not started:
                await refuse(scope, guarded, as_api_error(error), self._metrics)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            raise ApiError(400, "the Host header names another machine; use this server's address")
        origin = headers.get("origin")
        if method in ("GET", "HEAD", "OPTIONS") or origin is None:
            return
        if not {origin, "*"} & {*self._cors, f"http://{host}", f"https://{host}"}:
            raise ApiError(403, "pages of other sites may not use this server (--cors allows one)")


class Gate:
    """Behind CORS' own answers: the key, and a server that takes nothing new."""

    def __init__(
        self,
        app: ASGIApp,
        options: ServerOptions,
        closing: Callable[[], bool],
        is_open: Callable[[str], bool],
        metrics: Metrics,
    ) -> None:
        self._app, self._closing, self._is_open, self._metrics = app, closing, is_open, metrics
        self._key = None if options.api_key is None else options.api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
        except ApiError as error:
            await refuse(scope, send, error, self._metrics)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if self._key is not None and not self._is_open(scope["path"]):
            given = Headers(scope=scope).get("authorization", "")
            kind, _, key = given.partition(" ")
            same = hmac.compare_digest(key.strip().encode(), self._key)
            if not (same and kind.lower() == "bearer"):
                raise ApiError(
                    401,
                    "send the server's key: Authorization: Bearer KEY",
                    code="invalid_api_key",
                )
        if self._closing() and scope["method"] == "POST":
            raise shutting_down()


async def refuse(scope: Scope, send: Send, error: ApiError, metrics: Metrics) -> None:
    """Answer with `error`, which no endpoint has counted."""
    metrics.requests.labels("(refused)", str(error.status)).inc()
    try:
        await Exchange(scope, send).error(error)
    except ClientGone:
        return


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        name, end, _ = host[1:].partition("]")
        return name if end else ""
    return host.partition(":")[0]
