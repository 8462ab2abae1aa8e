"""The ASGI application: which path is answered by what."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gpt2_edge_server.attention import Attention
from gpt2_edge_server.chat import Chat
from gpt2_edge_server.completions import Completions
from gpt2_edge_server.description import Description
from gpt2_edge_server.endpoint import Endpoints
from gpt2_edge_server.errors import ApiError
from gpt2_edge_server.exchange import BodyReader, Handler
from gpt2_edge_server.guard import Gate, Guard
from gpt2_edge_server.looking import Looking
from gpt2_edge_server.service import Service
from gpt2_edge_server.static import page_files

_PACKED_FROM = 4096  # bytes of an answer


def make_app(service: Service, log: Callable[[str], None], own: Iterable[str] | None) -> ASGIApp:
    """The application that serves `service`; `log` is told a line of whatever is not foreseen.

    own: names of a loopback server beside the usual ones; None for one that others can reach.
    """
    options, metrics = service.options, service.metrics
    endpoints = Endpoints(BodyReader(options.max_body_bytes), metrics, service.api_error, log)

    def route(method: str, path: str, handler: Handler, *, packed: bool = False) -> Route:
        app: ASGIApp = endpoints.make(path, handler)
        if packed:
            app = GZipMiddleware(app, minimum_size=_PACKED_FROM, compresslevel=1)
        return Route(path, app, methods=[method])

    looking, description = Looking(service), Description(service)
    pages = page_files()
    routes = [
        route("POST", "/v1/completions", Completions(service)),
        route("POST", "/v1/chat/completions", Chat(service)),
        route("GET", "/v1/models", description.models),
        route("GET", "/v1/models/{id:path}", description.model),
        route("POST", "/tokenize", looking.tokenize, packed=True),
        route("POST", "/detokenize", looking.detokenize),
        route("POST", "/next", looking.next),
        route("POST", "/score", looking.score, packed=True),
        route("POST", "/attention", Attention(service), packed=True),
        route("GET", "/model", description.describe),
        route("POST", "/selftest", description.self_test),
        route("GET", "/openapi.json", description.openapi, packed=True),
        route("GET", "/health", description.health),
        route("GET", "/metrics", description.metrics),
        *(Route(path, file, methods=["GET"]) for path, file in pages.items()),
    ]
    router = Starlette(
        routes=routes, exception_handlers={HTTPException: _http_error, Exception: _http_error}
    )
    router.router.redirect_slashes = False
    open_paths = {"/health", *pages}
    app: ASGIApp = Gate(
        router, options, lambda: service.engine.closing, open_paths.__contains__, metrics
    )
    if options.cors:
        app = CORSMiddleware(
            app,
            allow_origins=options.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # OpenAI's client for JavaScript sends some of its own
            expose_headers=["Retry-After"],
        )
    return Guard(app, options.cors, own, metrics, log)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own errors, of paths and methods, in OpenAI's shape."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "there is nothing at this path", 405: "this path takes another method"}
    told = ApiError(status, words.get(status, "the request cannot be answered"))
    headers = {"cache-control": "no-store", **(getattr(error, "headers", None) or {})}
    return Response(
        msgspec.json.encode(told.body()), status, headers, media_type="application/json"
    )
