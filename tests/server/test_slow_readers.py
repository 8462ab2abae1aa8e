"""Readers that take their answers slowly: what they may hold, and for how long."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.rows import make_rows
from gpt2_edge.generate import Generator
from gpt2_edge_server.engine import Engine
from gpt2_edge_server.metrics import Metrics
from gpt2_edge_server.protocol import PatientProtocol
from server.served import PATIENCE, Serve
from server.test_engine import texts
from server.test_leaving import PATH, connections, request, running, until_idle

__all__ = ["connections"]  # a fixture

ENDLESS: dict[str, Any] = {"max_new_tokens": 10**6, "context_overflow": "slide", "ignore_eos": True}
# Some megabytes, without much to compute.
BIG: dict[str, Any] = {"prompt": [5] * 512, "echo": True, "logprobs": 20, "max_tokens": 0, "n": 8}


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_place_is_free_when_its_text_is_over(generator: Generator) -> None:
    async def whole() -> None:
        decoder = Decoder(make_rows(generator.session, 2, generator.context_length))
        engine = Engine(decoder, 2, 1, Metrics())
        engine.start(asyncio.get_running_loop())
        try:
            with engine.reserved(3) as places:
                both = texts(generator, ignore_eos=True) + texts(generator, **ENDLESS)
                call = engine.submit(both, places=places)
                assert engine.taken == 2  # the third place was not needed
                while engine.taken == 2:
                    await asyncio.sleep(0.001)
                assert both[0].over
                assert not both[1].over
                assert engine.taken == 1
                call.end()
            assert engine.taken == 0
        finally:
            engine.stop()

    asyncio.run(asyncio.wait_for(whole(), PATIENCE))


@pytest.mark.parametrize("stream", [False, True])
def test_who_is_slow_holds_no_place(
    serve: Serve,
    connections: list[PatientProtocol],
    monkeypatch: pytest.MonkeyPatch,
    stream: bool,
) -> None:
    monkeypatch.setattr("gpt2_edge_server.exchange._READER_SECONDS", 3600.0)
    with serve(max_rows=2, max_queue=6) as server:
        raw = request(server, {**BIG, "stream": stream})
        until(lambda: server.service.held.answers == 1)
        until_idle(server)  # though nothing of the answer was read
        assert server.service.held.answers == 1
        assert len(server.done(PATH, prompt="A", n=8, max_tokens=2)["choices"]) == 8
        raw.close()
        until(lambda: server.service.held.answers == 0)
        assert server.service.held.taken == 0


def read_slowly(raw: socket.socket, pause: float) -> int:
    """How many bytes come until the server closes the connection."""
    count = 0
    try:
        while part := raw.recv(4096):
            count += len(part)
            time.sleep(pause)
    except OSError:
        pass
    return count


def test_who_always_takes_a_little_is_given_up(
    serve: Serve,
    connections: list[PatientProtocol],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpt2_edge_server.exchange._READER_SECONDS", 2.0)
    monkeypatch.setattr("gpt2_edge_server.exchange._READER_RATE", 1 << 30)
    with serve(max_rows=2, max_queue=6) as server:
        whole = len(server.post(PATH, **BIG).content)
        assert whole > 1 << 20
        raw = request(server, BIG)
        # 80 KB in a second at most: no part of 64 KB takes two seconds, but all of them do.
        assert read_slowly(raw, 0.05) < whole
        until(lambda: server.service.held.answers == 0)
        # Time is given for what was taken.
        monkeypatch.setattr("gpt2_edge_server.exchange._READER_RATE", 1 << 10)
        monkeypatch.setattr("gpt2_edge_server.exchange._READER_SECONDS", PATIENCE)
        assert read_slowly(request(server, {**BIG, "n": 1}), 0.0) > whole / 9


def test_the_rest_of_an_answer_has_to_be_taken(
    serve: Serve,
    connections: list[PatientProtocol],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpt2_edge_server.protocol._HEADER_SECONDS", 3600.0)  # checks are made here
    with serve(max_rows=2) as server:
        raw = request(server, {**BIG, "n": 1, "logprobs": 1})
        until(lambda: bool(connections) and connections[0].cycle is not None)
        protocol = connections[0]
        until(lambda: protocol.cycle.response_complete)
        left = protocol.transport.get_write_buffer_size
        assert left() > 16_000  # all of it is sent, as far as the handler knows

        def check() -> None:
            done = threading.Event()
            protocol.loop.call_soon_threadsafe(lambda: (protocol._check(), done.set()))
            assert done.wait(PATIENCE)

        check()
        before = left()
        raw.recv(4096)
        raw.recv(4096)
        until(lambda: left() < before)
        check()  # it took some, but at this rate it would have the connection for an hour
        assert protocol.transport.is_closing()
        raw.close()


def test_who_waits_for_a_row_waits_no_longer_than_a_text_may_take(serve: Serve) -> None:
    with serve(max_rows=1, max_queue=4, timeout=PATIENCE) as server:
        first = request(server, {"prompt": "A", "max_tokens": 16384, "ignore_eos": True,
                                 "context_overflow": "slide"})  # fmt: skip
        running(server, 1)
        object.__setattr__(server.service.options, "timeout", 0.2)
        refusal = server.refused(429, PATH, prompt="B", max_tokens=2)
        assert "no row" in refusal["message"]
        assert server.service.engine.running == 1
        first.close()
        until_idle(server)
