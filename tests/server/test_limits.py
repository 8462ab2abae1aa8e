"""What a server takes at most: bodies, texts, memory, time."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from gpt2_edge.errors import GenerationError
from gpt2_edge.files.package import open_package
from gpt2_edge.generate import Generator
from gpt2_edge_server.memory import fitting_rows, row_bytes
from server.served import PATIENCE, Serve, Served, error_of

PATH = "/v1/completions"
# A text that goes on until somebody ends it.
ENDLESS: dict[str, Any] = {
    "prompt": "A", "max_tokens": 16384, "ignore_eos": True, "context_overflow": "slide"
}  # fmt: skip


def connected(server: Served) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port), timeout=PATIENCE)


def test_a_body_that_says_it_is_too_large(serve: Serve) -> None:
    with serve(max_body_bytes=2000) as server:
        error = server.refused(413, "/tokenize", prompt="a" * 2000)
        assert "2,000" in error["message"]
        server.done("/tokenize", prompt="a" * 1900)


def test_a_body_that_does_not_say(serve: Serve) -> None:
    with serve(max_body_bytes=2000) as server:
        parts = iter([b'{"prompt": "', *[b"a" * 500] * 9, b'"}'])
        answer = server.client.post(
            "/tokenize", content=parts, headers={"Content-Type": "application/json"}
        )
        error_of(answer, 413)
        with connected(server) as raw:  # it never ends; the answer comes all the same
            raw.sendall(
                b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"a" * 1000 + b"\r\n3e8\r\n"
                + b"a" * 1000 + b"\r\n1\r\na\r\n"
            )  # fmt: skip
            assert b" 413 " in raw.recv(4096)


def test_a_body_that_hardly_comes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2_edge_server.exchange._BODY_SECONDS", 0.3)
    with serve() as server, connected(server) as raw:
        raw.sendall(
            b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert b" 408 " in raw.recv(4096)


def test_headers_that_hardly_come(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2_edge_server.protocol._HEADER_SECONDS", 0.2)
    with serve() as server, connected(server) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(4096) == b""  # closed


def test_headers_without_end(server: Served) -> None:
    with connected(server) as raw:
        try:
            raw.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * 100_000)
            answer = raw.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert answer == b"" or b" 400 " in answer
    assert server.client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"3", b'"a"', b"\xff\xfe", b"{}{}", b"{\"prompt\": \"\\ud800\"}",
        b"[" * 100_000, b'{"prompt":' * 20_000, b'{"json_schema":' + b'{"a":' * 100_000,
        b'{"seed": ' + b"9" * 100_000 + b"}", b'{"temperature": 1e999}', b'{"temperature": NaN}',
        b'{"prompt": [' + b"1," * 100_000 + b"1.5]}", b'{"\x00": 1}', b"{'prompt': 'a'}",
    ],
    ids=range(18),
)  # fmt: skip
def test_hostile_bodies(server: Served, content: bytes) -> None:
    for path in (PATH, "/v1/chat/completions", "/next", "/score", "/tokenize", "/detokenize"):
        answer = server.client.post(
            path, content=content, headers={"Content-Type": "application/json"}
        )
        assert error_of(answer, 400)["type"] == "invalid_request_error"
        assert len(answer.content) < 2000


def test_a_lone_half_of_a_character_in_a_grammar(server: Served) -> None:
    for field in ("regex", "json_schema"):
        server.refused(400, PATH, prompt="a", **{field: "{" * 60_000})


def test_over_the_queue_429(serve: Serve) -> None:
    with serve(max_rows=1, max_queue=1) as server:
        started, streams = threading.Event(), []
        with server.client.stream("POST", PATH, json={**ENDLESS, "stream": True}) as first:
            lines = first.iter_lines()  # which, dropped, would close the answer
            assert next(lines)
            waiting = threading.Thread(
                target=lambda: streams.append(server.post(PATH, prompt="B", max_tokens=2))
            )
            waiting.start()
            while server.service.engine.taken < 2:  # the second has its place
                assert waiting.is_alive()
                started.wait(0.01)
            answer = server.post(PATH, prompt="C")
            error = error_of(answer, 429)
            assert error["type"] == "rate_limit_error"
            assert int(answer.headers["retry-after"]) >= 1
            error_of(server.post("/next", prompt="C"), 429)
            metrics = server.client.get("/metrics").text
            assert "gpt2_edge_running 1.0" in metrics
            assert "gpt2_edge_waiting 1.0" in metrics
            assert server.client.get("/health").status_code == 200
        waiting.join(PATIENCE)
        assert streams[0].status_code == 200
        # Three texts never have a place here, whoever waits.
        assert "2 at most" in server.refused(400, PATH, prompt="C", n=3)["message"]


def test_a_text_ends_after_a_time(serve: Serve) -> None:
    with serve(timeout=0.5) as server:
        choice = server.done(PATH, **ENDLESS)["choices"][0]
        assert choice["finish_reason"] == "length"


def test_rows_that_fit(sample_fp32: Path) -> None:
    manifest = open_package(sample_fp32).manifest
    each = row_bytes(manifest)
    # Keys and values of 6 layers, 4 heads, 64 numbers of 4 bytes, for 512 tokens and one more.
    assert each == 2 * 6 * 4 * 64 * 4 * 513
    assert fitting_rows(manifest, 8, None) == 8
    assert fitting_rows(manifest, 8, 8 * each) == 8
    assert fitting_rows(manifest, 8, 8 * each - 1) == 6  # in pairs
    assert fitting_rows(manifest, 7, 8 * each) == 7
    assert fitting_rows(manifest, 7, 7 * each) == 6  # the seventh would need an eighth beside it
    assert fitting_rows(manifest, 8, each) == 1
    with pytest.raises(GenerationError, match="max-cache-mb"):
        fitting_rows(manifest, 1, each - 1)


def test_the_buffers_are_as_large_as_was_reckoned(generator: Generator) -> None:
    from gpt2_edge.decode.rows import SharedRows

    rows = SharedRows(generator.session, 4, generator.context_length)
    assert sum(buffer.nbytes for buffer in rows._buffers) == 4 * row_bytes(generator.manifest)


def test_a_server_of_one_row(serve: Serve, generator: Generator) -> None:
    with serve(max_cache_bytes=row_bytes(generator.manifest)) as server:
        assert server.service.rows == 1
        choices = server.done(PATH, prompt="A", n=3, seed=1, max_tokens=5)["choices"]
        assert len({choice["text"] for choice in choices}) > 1
