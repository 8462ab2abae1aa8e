"""Mixed load, with all that clients do wrong: what came back, and what the server still holds."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server_load import LIMIT, head_of, metrics, posted, sent

COMPLETIONS = "/v1/completions"
PROMPTS = ("It was", "What do you", "The old man", "In the morning, when the sun", "One day " * 40)
MALFORMED = (
    b"",
    b"{",
    b"[" * 100_000,
    b'{"prompt": "\xff"}',
    b'{"prompt": NaN}',
    b'{"prompt": "x", "temperature": 1e999}',
    b'{"prompt": "x", "seed": ' + b"9" * 3000 + b"}",
    b'{"prompt": [1e400]}',
    b'{"prompt": "x", "n": -1}',
    b'{"prompt": "x", "max_tokens": "many"}',
    b'{"prompt": "x", "no_such_field": 1}',
    b'{"prompt": "' + b"word " * 20_000 + b'"}',
    b'{"prompt": "' + b"x" * (2 << 20) + b'"}',
)
NO_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    b"GET / HTTP/9.9\r\n\r\n",
    b"x" * 100_000,
    head_of("BREW", "/coffee", b""),
    head_of("GET", "/../../etc/passwd", b""),
    head_of("GET", "/health", b"", host="evil.example"),
)


@dataclass(frozen=True)
class Sample:
    """What the server's process held at a time. seconds: since the soak began."""

    seconds: float
    memory: int  # bytes
    threads: int
    files: int


@dataclass
class Report:
    """What a soak came to: how often which kind of client got which status, and samples."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    left: dict[str, float] = field(default_factory=dict)  # gauges at its end

    @property
    def failures(self) -> dict[tuple[str, int], int]:
        """Server errors."""
        return {key: count for key, count in self.statuses.items() if key[1] >= 500}


Client = Callable[[str, random.Random], Awaitable[int]]


def _asked(chance: random.Random, **settings: Any) -> bytes:
    body: dict[str, Any] = {"prompt": chance.choice(PROMPTS), "max_tokens": chance.randint(1, 120)}
    body |= {"seed": chance.randrange(1000), "ignore_eos": chance.random() < 0.5}
    if chance.random() < 0.3:
        body |= {"n": chance.randint(1, 3), "logprobs": chance.randint(0, 3)}
    if chance.random() < 0.2:
        body |= {"stop": ["."], "echo": True}
    return posted(COMPLETIONS, body | settings)


async def _whole(url: str, chance: random.Random) -> int:
    async with sent(url, _asked(chance)) as connection:
        await connection.rest()
        return connection.status


async def _stream(url: str, chance: random.Random) -> int:
    async with sent(url, _asked(chance, stream=True)) as connection:
        last = b""
        async for data in connection.events():
            last = data
        assert connection.status != 200 or last == b"[DONE]", last
        return connection.status


async def _endless(url: str, chance: random.Random) -> int:
    """Goes away in the middle of a text that would not end for a long time."""
    asked = _asked(
        chance, stream=True, ignore_eos=True, max_tokens=50_000, context_overflow="slide", stop=None
    )
    async with sent(url, asked) as connection:
        wanted = chance.randrange(30)
        async for _ in connection.events():
            wanted -= 1
            if wanted < 0:
                break
        return connection.status


async def _impatient(url: str, chance: random.Random) -> int:
    """Goes away before the answer's head has come."""
    async with sent(url, _asked(chance, max_tokens=400, ignore_eos=True), answered=False):
        await asyncio.sleep(chance.random() * 0.2)
    return 0


async def _slow(url: str, chance: random.Random) -> int:
    """Reads a few bytes now and then, and gives up in the end."""
    async with sent(url, _asked(chance, stream=True, max_tokens=300, logprobs=5)) as connection:
        for _ in range(chance.randint(1, 12)):
            await connection.reader.read(200)
            await asyncio.sleep(0.25)
        return connection.status


async def _half(url: str, chance: random.Random) -> int:
    """Sends a part of a body and goes away."""
    data = _asked(chance)
    async with sent(url, data[: chance.randrange(10, len(data) - 1)], answered=False):
        await asyncio.sleep(chance.random() * 0.5)
    return 0


async def _malformed(url: str, chance: random.Random) -> int:
    body = chance.choice(MALFORMED)
    path = chance.choice((COMPLETIONS, "/v1/chat/completions", "/next", "/score", "/tokenize"))
    async with sent(url, head_of("POST", path, body) + body) as connection:
        await _quietly(connection.rest())
        return connection.status


async def _no_http(url: str, chance: random.Random) -> int:
    async with sent(url, chance.choice(NO_HTTP)) as connection:
        await _quietly(connection.rest())
        return connection.status


async def _chunks(url: str, chance: random.Random) -> int:
    """A body in chunks that is over the limit."""
    head = head_of("POST", COMPLETIONS, b"", content_length="", transfer_encoding="chunked")
    chunk = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    async with sent(url, head + 40 * chunk) as connection:
        await _quietly(connection.rest())
        return connection.status


async def _others(url: str, chance: random.Random) -> int:
    prompt = chance.choice(PROMPTS)
    path, value = chance.choice(
        (
            ("/next", {"prompt": prompt, "top_k": 5, "seed": 1}),
            ("/score", {"prompt": prompt}),
            ("/attention", {"prompt": prompt}),
            ("/tokenize", {"prompt": prompt}),
            ("/detokenize", {"tokens": [5, 6, 7]}),
        )
    )
    async with sent(url, posted(path, value)) as connection:
        await connection.rest()
        return connection.status


async def _pages(url: str, chance: random.Random) -> int:
    path = chance.choice(("/", "/health", "/metrics", "/model", "/v1/models", "/openapi.json"))
    async with sent(url, head_of("GET", path, b"")) as connection:
        await connection.rest()
        return connection.status


CLIENTS: dict[str, Client] = {
    "whole text": _whole,
    "stream": _stream,
    "stream, left": _endless,
    "text, left": _impatient,
    "slow reader": _slow,
    "half a body": _half,
    "malformed body": _malformed,
    "no HTTP": _no_http,
    "chunks without end": _chunks,
    "other endpoints": _others,
    "pages": _pages,
}


async def soak(
    url: str, seconds: float, pid: int | None = None, clients: int = 16, every: float = 60.0
) -> Report:
    """Run `clients` clients for so long. pid: of the server's process, sampled `every` seconds."""
    report, started = Report(), time.perf_counter()

    async def client(number: int) -> None:
        chance = random.Random(number)
        while time.perf_counter() - started < seconds:
            name = chance.choice(list(CLIENTS))
            try:
                status = await CLIENTS[name](url, chance)
            except ConnectionError:
                status = 0
            report.statuses[name, status] += 1
            if status == 429:
                await asyncio.sleep(chance.random())

    async def watch() -> None:
        while pid is not None:
            report.samples.append(sample(pid, time.perf_counter() - started))
            await asyncio.sleep(every)

    watching = asyncio.ensure_future(watch())
    try:
        await asyncio.gather(*map(client, range(clients)))
        report.left = await settled(url)
    finally:
        watching.cancel()
    if pid is not None:
        report.samples.append(sample(pid, time.perf_counter() - started))
    return report


async def settled(url: str, patience: float = 60.0) -> dict[str, float]:
    """What /metrics says once nothing runs or waits, or after so many seconds."""
    end = time.perf_counter() + patience
    while True:
        found = await metrics(url)
        busy = found["gpt2_edge_running"] + found["gpt2_edge_waiting"]
        if not busy or time.perf_counter() > end:
            return found
        await asyncio.sleep(0.05)


def sample(pid: int, seconds: float) -> Sample:
    """What the process holds now (Linux)."""
    folder = Path(f"/proc/{pid}")
    memory = re.findall(r"VmRSS:\s+(\d+) kB", (folder / "status").read_text("utf-8"))
    counts = [len(list((folder / name).iterdir())) for name in ("task", "fd")]
    return Sample(seconds, 1024 * int(memory[0]), *counts)


async def _quietly(reading: Awaitable[bytes]) -> bytes:
    """An answer whose connection may be reset, as its request was not read to the end."""
    try:
        return (await reading)[:LIMIT]
    except ConnectionError:
        return b""
