"""A route's end: it reads the body, runs the handler while the client is there, tells errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from gpt2_edge.untrusted import one_line
from gpt2_edge_server.errors import ApiError
from gpt2_edge_server.exchange import BodyReader, ClientGone, Exchange, Handler, Translate
from gpt2_edge_server.metrics import Metrics

Log = Callable[[str], None]


class Endpoints:
    """Makes ASGI applications of handlers."""

    def __init__(
        self, bodies: BodyReader, metrics: Metrics, translate: Translate, log: Log
    ) -> None:
        self._bodies, self._metrics = bodies, metrics
        self._translate, self._log = translate, log

    def make(self, name: str, handler: Handler) -> Endpoint:
        """The application of `handler`; `name` is what it is counted under."""
        return Endpoint(name, handler, self._bodies, self._metrics, self._translate, self._log)


class Endpoint:
    """The ASGI application of one handler."""

    def __init__(
        self,
        name: str,
        handler: Handler,
        bodies: BodyReader,
        metrics: Metrics,
        translate: Translate,
        log: Log,
    ) -> None:
        self._name, self._handler, self._bodies = name, handler, bodies
        self._metrics, self._translate, self._log = metrics, translate, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, send, translate=self._translate)
        status = 0
        try:
            exchange.content = await self._bodies.read(Headers(scope=scope), receive)
            await self._handle(exchange, receive)
            status = exchange.status
        except ClientGone:
            status = 499  # nginx's number for it; nobody gets it
        except Exception as error:
            answer = self._translate(error)
            status = answer.status
            if not isinstance(error, ApiError) and status >= 500:
                self._log(f"{self._name}: {one_line(f'{type(error).__name__}: {error}', 300)}")
            if not exchange.started:
                await _tell(exchange, answer)
        finally:
            self._metrics.requests.labels(self._name, str(status or 499)).inc()

    async def _handle(self, exchange: Exchange, receive: Receive) -> None:
        """Run the handler; it is cancelled as soon as the client goes away."""
        handling = asyncio.ensure_future(self._handler(exchange))
        leaving = asyncio.ensure_future(_leaves(receive))
        try:
            await asyncio.wait({handling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not handling.done():
                raise ClientGone
            handling.result()
        finally:
            for task in (handling, leaving):
                task.cancel()
            await asyncio.gather(handling, leaving, return_exceptions=True)


async def _leaves(receive: Receive) -> None:
    """Return when the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _tell(exchange: Exchange, answer: ApiError) -> None:
    try:
        await exchange.error(answer)
    except ClientGone:
        return
