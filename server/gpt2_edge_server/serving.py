"""A server's life: it listens, answers, and ends when it is told to, by a signal or a caller."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from gpt2_edge.errors import GenerationError, GPT2EdgeError
from gpt2_edge.generate import Generator
from gpt2_edge.untrusted import shown
from gpt2_edge_server.app import make_app
from gpt2_edge_server.options import ServerOptions
from gpt2_edge_server.protocol import PatientProtocol
from gpt2_edge_server.service import Service

_HEADER_BYTES = 32 << 10
_LAST_SECONDS = 5  # for answers to reach their readers, once all texts have ended
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP

Log = Callable[[str], None]


class Serving:
    """A package that is served at `address`, from `run` to `stop`.

    loopback: whether only this machine can reach it.
    sock: of `listening`. log: is told a line of whatever is not foreseen. Raises GenerationError
    where no row fits into the memory that the options allow.
    """

    def __init__(
        self, generator: Generator, options: ServerOptions, sock: socket.socket, log: Log
    ) -> None:
        self.service = Service(generator, options)
        self.address, self.loopback = address_of(sock), is_loopback(sock)
        self.ready = threading.Event()  # set once it answers
        self._options, self._sock, self._log = options, sock, log
        own = [options.host, sock.getsockname()[0]] if self.loopback else None
        self._app = make_app(self.service, log, own)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0  # how often it was told to end
        self._signal: int | None = None

    def run(self) -> int | None:
        """Serve until it is told to end; the number of the signal that did, if one did.

        The first signal lets running texts end, the second cuts them.
        """
        try:
            asyncio.run(self._main())
        finally:
            self._sock.close()
            self.service.stop()
        return self._signal

    def stop(self, grace: bool = True) -> None:
        """End it from any thread; without `grace`, running texts are cut."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._ask, 1 if grace else 2)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.service.engine.start(self._loop)
        server = _Server(
            uvicorn.Config(
                self._app,
                http=PatientProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_LAST_SECONDS,
                h11_max_incomplete_event_size=_HEADER_BYTES,
            )
        )
        with self._signals():
            serving = asyncio.ensure_future(server.serve(sockets=[self._sock]))
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            self.ready.set()
            waiting = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            await self._drain()
            server.should_exit = True
            await serving

    async def _drain(self) -> None:
        """Take nothing new, and let running texts end, for the seconds of grace."""
        engine = self.service.engine
        engine.close()
        end = time.monotonic() + self._options.grace
        busy = engine.taken
        if busy:
            self._log(f"ending: {busy} texts have {self._options.grace:g} s; again to cut them")
        service = self.service
        # Answers that are put together, or sent, have given their places back.
        while engine.taken or service.measure.taken or service.held.answers:
            if self._asked > 1 or time.monotonic() >= end:
                break
            await asyncio.sleep(0.02)
        engine.end_all("length")

    def _ask(self, times: int) -> None:
        self._asked += times
        self._stopping.set()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals end the server while the block runs; those that were ignored stay so."""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for name in _SIGNALS:
                number = getattr(signal, name, None)
                handler = None if number is None else signal.getsignal(number)
                if number is not None and handler not in (None, signal.SIG_IGN):
                    before[number] = signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signal = self._signal or number
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ask, 1)


class _Server(uvicorn.Server):
    """uvicorn without handlers of its own for signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`; GPT2EdgeError in one line where that cannot be."""
    if not 0 <= port <= 65535:
        raise GenerationError(f"the port is {shown(port, 20)}; it must be from 0 to 65535")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise GPT2EdgeError(
            f"there is no host {shown(host)}; --host takes an address of this machine, such as "
            "127.0.0.1, or 0.0.0.0 for all"
        ) from None
    family, _, _, _, address = sorted(found, key=lambda each: each[0] != socket.AF_INET)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would share the port with another server
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise GPT2EdgeError(_why_not(error, host, port)) from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Where `sock` listens, as a browser takes it."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine can reach `sock`: by its address, however the host was written."""
    host = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0])
    mapped = getattr(host, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return host.is_loopback or (mapped is not None and mapped.is_loopback)


def _why_not(error: OSError, host: str, port: int) -> str:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use; --port takes another, and 0 a free one"
    if error.errno == errno.EACCES:
        return f"{where}: no permission; ports from 1024 on need none"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{shown(host)} is no address of this machine; 127.0.0.1 is, and 0.0.0.0 is all"
    return f"{where} cannot be opened ({error.strerror or error})"
