"""One request and its answer: the body within bounds, a client that goes away, JSON and events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from gpt2_edge_server.errors import ApiError, as_api_error, busy

Translate = Callable[[Exception], ApiError]
Body = TypeVar("Body")

_BODY_SECONDS = 30.0  # for all of a body
# How long a client may keep its answer waiting, all in all: so long, and a second more for so many
# bytes that it has taken.
_READER_SECONDS, _READER_RATE = 60.0, 16 << 10
_PART = 1 << 16
_BODIES_AT_ONCE = 64  # of the largest size that are held while they are read


class ClientGone(Exception):  # noqa: N818 - nothing went wrong
    """The client has closed the connection, or takes nothing any more."""


class BodyReader:
    """Reads the bodies of requests: how large one may be, and all together at one time."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """A body; ApiError where it is too large, too slow, or there are too many."""
        self._check_length(headers.get("content-length"))
        parts: list[bytes] = []
        size = 0
        try:
            async with _deadline(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    self._held += len(part)
                    if size > self._most:
                        raise self._too_large()
                    if self._held > _BODIES_AT_ONCE * self._most:
                        raise busy("too many large requests arrive at once; try again later")
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except asyncio.TimeoutError:
            raise ApiError(408, f"the body took more than {_BODY_SECONDS:.0f} seconds") from None
        finally:
            self._held -= size

    def _check_length(self, length: str | None) -> None:
        # What is no number h11 has refused.
        digits = length if length is not None and length.isdecimal() else "0"
        if len(digits) > 20 or int(digits) > self._most:
            raise self._too_large()

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the body has more than {self._most:,} bytes; send less at once")


def require_json(headers: Headers) -> None:
    """ApiError unless the body is said to be JSON: a page of another site cannot say so unasked."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "send JSON, with the header Content-Type: application/json")


def parsed(decoder: msgspec.json.Decoder[Body], headers: Headers, content: bytes) -> Body:
    """The body of a request as the structure that `decoder` makes; ApiError for anything else."""
    require_json(headers)
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        # "`$.messages[0].content`", or "`key` in `$.logit_bias`"
        param = place.rpartition("`$")[2].strip("`.") or None
        if message.startswith("Object contains unknown field"):
            field = message.partition("`")[2].rstrip("`")
            path = field if param is None else f"{param}.{field}"
            raise ApiError(400, f"there is no field {path!r} here", param=path) from error
        where = "the body" if param is None else param
        raise ApiError(400, f"{where}: {message.replace('`', '')}", param=param) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ApiError(400, f"the body is no JSON: {error}") from error
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply") from None


class Exchange:
    """What a handler has of a request, and how it answers."""

    def __init__(
        self, scope: Scope, send: Send, content: bytes = b"", translate: Translate = as_api_error
    ) -> None:
        self.headers = Headers(scope=scope)
        self.path_params: Mapping[str, Any] = scope.get("path_params", {})
        self.content, self.size = content, 0  # size: of the content that `body` has read
        self.started = False
        self.status = 0
        self._send, self._translate = send, translate
        self._waited, self._taken = 0.0, 0  # seconds for the client, and bytes

    def body(self, decoder: msgspec.json.Decoder[Body]) -> Body:
        """See `parsed`; the content is gone then."""
        content, self.content = self.content, b""
        self.size = len(content)
        return parsed(decoder, self.headers, content)

    def require_json(self) -> None:
        """See `require_json`."""
        require_json(self.headers)

    async def json(
        self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with `value` as JSON."""
        await self.raw(msgspec.json.encode(value), "application/json", status, headers)

    async def raw(
        self,
        content: bytes,
        kind: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with `content` of the media type `kind`."""
        length = {"content-length": str(len(content))}
        await self._start(status, kind, {**length, "cache-control": "no-store", **(headers or {})})
        await self._body(content, more=False)

    async def events(self, values: AsyncIterator[Any]) -> None:
        """Answer with server-sent events, one for each of `values`, and [DONE]."""
        async with contextlib.aclosing(values):  # type: ignore[type-var]
            try:
                first = await anext(values)
            except StopAsyncIteration:
                raise AssertionError("a stream of no events") from None
            await self._start(
                200, "text/event-stream; charset=utf-8", {"cache-control": "no-store"}
            )
            try:
                await self._event(msgspec.json.encode(first))
                async for value in values:
                    await self._event(msgspec.json.encode(value))
            except (ClientGone, asyncio.CancelledError):
                raise
            except Exception as error:
                await self._event(msgspec.json.encode(self._translate(error).body()), last=True)
                raise
            await self._event(b"[DONE]", last=True)

    async def error(self, error: ApiError) -> None:
        """Answer with an error."""
        await self.json(error.body(), error.status, error.headers())

    async def _event(self, data: bytes, last: bool = False) -> None:
        await self._body(b"data: " + data + b"\n\n", more=not last)

    async def _body(self, content: bytes, more: bool) -> None:
        """Send `content` in parts, so that a slow reader is one who takes none of them."""
        view = memoryview(content)
        for begin in range(0, max(len(view), 1), _PART):
            if begin:
                await asyncio.sleep(0)  # others have their turn, whether the client is slow or not
            follows = more or begin + _PART < len(view)
            part = bytes(view[begin : begin + _PART])
            await self._put({"type": "http.response.body", "body": part, "more_body": follows})

    async def _start(self, status: int, kind: str, headers: Mapping[str, str]) -> None:
        self.started, self.status = True, status
        pairs = {"content-type": kind, **headers}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in pairs.items()]
        await self._put({"type": "http.response.start", "status": status, "headers": raw})

    async def _put(self, message: Message) -> None:
        """Send, unless the client has kept us waiting for too long: then it counts as gone."""
        left = _READER_SECONDS + self._taken / _READER_RATE - self._waited
        started = time.monotonic()
        try:
            async with _deadline(left):
                await self._send(message)
        except (asyncio.TimeoutError, OSError):
            raise ClientGone from None
        self._waited += time.monotonic() - started
        self._taken += len(message.get("body", b""))


Handler = Callable[[Exchange], Awaitable[None]]


class _deadline:  # noqa: N801 - asyncio.timeout, which Python 3.10 has not
    """`async with _deadline(seconds)`: asyncio.TimeoutError in the block after so long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._late = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None

        def end() -> None:
            self._late = True
            task.cancel()

        self._timer = asyncio.get_running_loop().call_later(self._seconds, end)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._timer is not None
        self._timer.cancel()
        if self._late and kind is asyncio.CancelledError:
            raise asyncio.TimeoutError
