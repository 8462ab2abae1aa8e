"""A client that puts load on an OpenAI-compatible server: asyncio's sockets and nothing else.

It costs the server's machine little: events are counted as lines, and only the last is parsed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

LIMIT = 16 << 20  # bytes of a line or an answer
PATIENCE = 300.0  # seconds that an answer may take


@dataclass(frozen=True)
class Completion:
    """A streamed text: how many tokens, and seconds until its first and its last."""

    status: int
    tokens: int
    first: float
    whole: float


@dataclass
class Connection:
    """An open connection behind the head of an answer. status 0: it was closed without one."""

    status: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(-1), PATIENCE)

    async def events(self) -> AsyncIterator[bytes]:
        """The data of each server-sent event, [DONE] included."""
        while line := await asyncio.wait_for(self.reader.readline(), PATIENCE):
            # Between them are the sizes of chunks: servers send each event as a chunk of its own.
            if line.startswith(b"data: "):
                yield line[6:].rstrip()


def head_of(method: str, path: str, body: bytes, **headers: str) -> bytes:
    """The head of a request; its body follows."""
    fields = {
        "host": "127.0.0.1",
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@asynccontextmanager
async def sent(url: str, data: bytes, answered: bool = True) -> AsyncIterator[Connection]:
    """A connection on which `data` was sent; closed behind the block, whatever is still to come.

    answered: wait for the head of the answer.
    """
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=LIMIT)
    try:
        writer.write(data)
        status = 0
        try:
            await writer.drain()
            if answered:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                status = int(head.split()[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # closed, as it may be behind what is no request
        yield Connection(status, reader, writer)
    finally:
        # Not gracefully: with unread bytes on its way this is a reset, as of a page that is closed.
        writer.transport.abort()


def posted(path: str, value: Any) -> bytes:
    """A whole request with `value` as its JSON."""
    body = json.dumps(value).encode()
    return head_of("POST", path, body) + body


async def complete(
    url: str, prompt: Sequence[int] | str, tokens: int, **settings: Any
) -> Completion:
    """Let a text of exactly `tokens` tokens be written and streamed."""
    asked = {"prompt": prompt, "max_tokens": tokens, "stream": True, "ignore_eos": True}
    asked |= {"stream_options": {"include_usage": True}} | settings
    started, first, last = time.perf_counter(), 0.0, b""
    async with sent(url, posted("/v1/completions", asked)) as connection:
        if connection.status != 200:
            raise RuntimeError(f"status {connection.status}: {await connection.rest()!r}")
        async for data in connection.events():
            first = first or time.perf_counter()
            if data == b"[DONE]":
                break
            last = data
    ended = time.perf_counter()
    written = int(json.loads(last)["usage"]["completion_tokens"])
    return Completion(connection.status, written, first - started, ended - started)


async def together(
    url: str, prompts: Sequence[Sequence[int] | str], tokens: int, **settings: Any
) -> tuple[float, list[Completion]]:
    """All `prompts` at the same time: seconds until the last text has ended, and the texts."""
    started = time.perf_counter()
    texts = await asyncio.gather(*(complete(url, prompt, tokens, **settings) for prompt in prompts))
    return time.perf_counter() - started, list(texts)


async def metrics(url: str) -> dict[str, float]:
    """The samples of /metrics by name and labels."""
    async with sent(url, head_of("GET", "/metrics", b"")) as connection:
        text = (await connection.rest()).decode()
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if line[:1].isalpha())
    return {name: float(value) for name, value in samples}
