"""Clients that go away, or take nothing: their rows are free again."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import httpx
import pytest

from gpt2_edge.generate import Generator
from gpt2_edge_server.protocol import PatientProtocol
from server.served import PATIENCE, Serve, Served
from server.wire import received

PATH = "/v1/completions"
ENDLESS: dict[str, Any] = {
    "prompt": "A", "max_tokens": 16384, "ignore_eos": True, "context_overflow": "slide"
}  # fmt: skip


def until_idle(server: Served) -> None:
    """Wait until no text runs and no place is taken."""
    engine, end = server.service.engine, time.monotonic() + PATIENCE
    while engine.taken or engine.running or engine.waiting:
        assert time.monotonic() < end, (engine.taken, engine.running, engine.waiting)
        time.sleep(0.005)


def request(server: Served, body: dict[str, Any]) -> socket.socket:
    """A connection on which `body` is asked for, and no answer read."""
    content = httpx.Request("POST", server.url, json=body).content
    url = httpx.URL(server.url)
    raw = socket.socket()
    raw.settimeout(PATIENCE)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((url.host, url.port))
    raw.sendall(
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    return raw


def running(server: Served, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while server.service.engine.running < count:
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away(serve: Serve, stream: bool) -> None:
    with serve(max_rows=2, max_queue=8) as server:
        gone = [request(server, {**ENDLESS, "stream": stream, "n": 2}) for _ in range(4)]
        running(server, 2)
        for raw in gone:
            raw.close()
        until_idle(server)
        assert server.done(PATH, prompt="A", max_tokens=3)["usage"]["completion_tokens"] <= 3
        assert server.log == []


def test_those_who_wait_and_leave_are_forgotten(serve: Serve) -> None:
    with serve(max_rows=1, max_queue=4) as server:
        first = request(server, {**ENDLESS, "stream": True})
        running(server, 1)
        for _ in range(12):
            others = [request(server, {**ENDLESS, "prompt": "B"}) for _ in range(4)]
            end = time.monotonic() + PATIENCE
            while server.service.engine.waiting < 4:
                assert time.monotonic() < end
                time.sleep(0.005)
            for raw in others:
                raw.close()
            while server.service.engine.taken > 1:
                assert time.monotonic() < end
                time.sleep(0.005)
        decoder = server.service.engine._decoder
        end = time.monotonic() + PATIENCE
        while len(decoder._waiting) > 0:  # not one of the 48 stays, though no row became free
            assert time.monotonic() < end
            time.sleep(0.005)
        first.close()
        until_idle(server)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[PatientProtocol]:
    """Those that a server takes from now on, with little room for what is on the way."""
    made, connect = [], PatientProtocol.connection_made

    def with_little_room(self: PatientProtocol, transport: Any) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made.append(self)
        connect(self, transport)

    monkeypatch.setattr(PatientProtocol, "connection_made", with_little_room)
    return made


def test_a_reader_that_takes_nothing(
    serve: Serve, connections: list[PatientProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge_server.exchange._READER_SECONDS", 0.5)
    with serve(max_rows=2) as server:
        # Log-probabilities make a step some kilobytes, so what is on the way is full soon.
        raw = request(server, {**ENDLESS, "stream": True, "logprobs": 8, "return_token_ids": True})
        running(server, 1)
        until_idle(server)
        raw.close()
        assert server.client.get("/health").status_code == 200


def test_an_answer_that_was_given_up_leaves_no_connection(
    serve: Serve, connections: list[PatientProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge_server.exchange._READER_SECONDS", 0.5)
    monkeypatch.setattr("gpt2_edge_server.protocol._HEADER_SECONDS", 0.2)
    with serve(max_rows=2) as server:
        raw = request(server, {**ENDLESS, "stream": True, "logprobs": 8, "return_token_ids": True})
        end = time.monotonic() + PATIENCE
        while not connections or connections[0] in connections[0].connections:
            assert time.monotonic() < end
            time.sleep(0.01)
        until_idle(server)
        raw.close()


def test_a_busy_connection_is_not_idle(
    serve: Serve, connections: list[PatientProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge_server.protocol._HEADER_SECONDS", 3600.0)  # checks are made here

    def check(protocol: PatientProtocol) -> None:
        done = threading.Event()

        def made() -> None:
            protocol._check()
            done.set()

        protocol.loop.call_soon_threadsafe(made)
        assert done.wait(PATIENCE)

    with serve(max_rows=2) as server:
        for _ in range(4):
            assert server.client.get("/health").status_code == 200
            check(connections[0])
        assert len(connections) == 1  # all on the first
        for _ in range(2):
            check(connections[0])
        assert connections[0].transport.is_closing()
        assert server.client.get("/health").status_code == 200
        assert len(connections) == 2


def test_leaving_while_the_prompt_is_scored(serve: Serve, generator: Generator) -> None:
    body = {"prompt": [[5] * generator.context_length] * 8, "max_tokens": 0, "echo": True,
            "logprobs": 5}  # fmt: skip
    with serve(max_rows=2, max_queue=16) as server:
        raw = request(server, body)
        end = time.monotonic() + PATIENCE
        while not server.service.measure.taken:
            assert time.monotonic() < end
            time.sleep(0.001)
        raw.close()
        while server.service.measure.taken:
            assert time.monotonic() < end
            time.sleep(0.005)
        until_idle(server)


def test_leaving_while_prompts_are_prepared(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpt2_edge_server.texts as module

    begun, go_on, prepared = threading.Event(), threading.Event(), list[object]()
    make_job = module.make_job

    def slow(model: Generator, prompt: Any, *rest: Any) -> Any:
        prepared.append(prompt)
        begun.set()
        assert go_on.wait(PATIENCE)
        return make_job(model, prompt, *rest)

    monkeypatch.setattr(module, "make_job", slow)
    with serve(max_rows=2, max_queue=60) as server:
        raw = request(server, {"prompt": [[number] for number in range(5, 55)]})
        assert begun.wait(PATIENCE)
        raw.close()
        until_idle(server)  # nobody waits for the answer any more
        go_on.set()
        end = time.monotonic() + PATIENCE
        while server.service.prepare.taken:
            assert time.monotonic() < end
            time.sleep(0.005)
    assert prepared == [[5]]  # and the other 49 were not prepared


def test_a_text_that_never_began_is_no_empty_text(serve: Serve) -> None:
    with serve(max_rows=1, grace=0) as server:
        first = request(server, ENDLESS)
        running(server, 1)
        second = request(server, ENDLESS)
        end = time.monotonic() + PATIENCE
        engine = server.service.engine
        while engine.waiting < 1 or not engine._live[0].texts[0].started:
            assert time.monotonic() < end
            time.sleep(0.005)
    assert received(first).status == 200  # cut where it was
    answer = received(second)
    assert (answer.status, answer.error()["code"]) == (503, "shutting_down")
