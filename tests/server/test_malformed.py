"""Requests that no client of good will sends: each has one clear answer, and nothing stays."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from server.process import WAIT, Served, served
from server.wire import Answer, connect, received, request, sent

BODIES = {
    "/v1/completions": {"model": "sample", "prompt": "One day", "max_tokens": 2},
    "/tokenize": {"prompt": "One day"},
    "/detokenize": {"tokens": [5, 6]},
    "/next": {"prompt": "One day"},
    "/score": {"prompt": "One day"},
    "/attention": {"prompt": "One day"},
}
LIMIT = 1 << 20  # bytes of a body


@pytest.fixture(scope="module")
def server(sample_fp32: Path) -> Iterator[Served]:
    with served(sample_fp32) as running:
        yield running
        settled(running)


def settled(server: Served) -> None:
    """Wait until no text is left."""
    end = time.monotonic() + WAIT
    while True:
        found = server.metrics()
        if found["gpt2_edge_running"] == found["gpt2_edge_waiting"] == 0:
            return
        assert time.monotonic() < end, found
        time.sleep(0.05)


def assert_told(answer: Answer, server: Served, *statuses: int) -> None:
    """One of `statuses`, with an error in OpenAI's shape that says nothing of this machine."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    error = answer.error()
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert isinstance(error["message"], str)
    assert error["message"].isprintable()
    assert len(error["message"]) <= 1000
    for secret in (b"Traceback", b"site-packages", b".py", b"/tmp", str(Path.home()).encode()):
        assert secret not in answer.body
    assert server.process.poll() is None


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"prompt": "One da',
        b'{"prompt": "One day"',
        b"null",
        b"[]",
        b'"One day"',
        b"{}{}",
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": "\xed\xa0\x80"}',
        b'{"prompt": NaN}',
        b'{"prompt": "x", "temperature": NaN}',
        b'{"prompt": "x", "temperature": Infinity}',
        b'{"prompt": "x", "temperature": 1e999}',
        b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
        b'{"prompt": [' + b"9" * 5000 + b"]}",
        b'{"prompt": [-1], "tokens": [-1]}',
        b'{"prompt": [1.5], "tokens": [1.5]}',
        b'{"prompt": {"a": 1}, "tokens": {"a": 1}}',
        b'{"prompt": true, "tokens": true}',
        b'{"prompt": [true], "tokens": [true]}',
        b'{"prompt": [99999999999], "tokens": [99999999999]}',
        b'{"prompt": "x", "tokens": [1], "no_such_field": 1}',
        b'\xef\xbb\xbf{"prompt": 5}',
        b"\x00" * 100,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_is_none(server: Served, path: str, body: bytes) -> None:
    assert_told(sent(server.port, request("POST", path, body)), server, 400)


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/jsonx", "application/json/x", "\xff"],
)  # fmt: skip
@pytest.mark.parametrize("path", BODIES)
def test_another_content_type(server: Served, path: str, kind: str) -> None:
    # What a page of another site can send without asking is not taken.
    body = json.dumps(BODIES[path]).encode()
    answer = sent(server.port, request("POST", path, body, kind=kind))
    assert_told(answer, server, 415)


@pytest.mark.parametrize("path", BODIES)
def test_content_types_of_json(server: Served, path: str) -> None:
    body = json.dumps(BODIES[path]).encode()
    for kind in ("application/json", "Application/JSON; charset=utf-8"):
        answer = sent(server.port, request("POST", path, body, kind=kind))
        # A package may have a graph that gives no attention.
        assert answer.status == 200, answer.body
        json.loads(answer.body)


def test_the_last_of_two_keys_counts_or_both_are_refused(server: Served) -> None:
    body = b'{"prompt": 5, "prompt": "One day", "k": 1}'
    answer = sent(server.port, request("POST", "/next", body))
    assert answer.status in (200, 400)


@pytest.mark.parametrize("path", BODIES)
def test_a_body_over_the_limit(server: Served, path: str) -> None:
    whole = b'{"prompt": "' + b"x" * LIMIT + b'"}'
    assert_told(sent(server.port, request("POST", path, whole)), server, 413)
    # It need not be sent to be refused,
    said = request("POST", path, b"{", content_length=str(1 << 40))
    assert_told(sent(server.port, said), server, 413)
    # nor be told how long it is.
    chunk = b"10000\r\n" + b"x" * (1 << 16) + b"\r\n"
    head = request("POST", path, b"", content_length="", transfer_encoding="chunked")
    assert_told(sent(server.port, head + 40 * chunk), server, 413)


@pytest.mark.parametrize(
    "head",
    [
        {"content_length": "-1"},
        {"content_length": "1e3"},
        {"content_length": "9" * 30},
        {"content_length": "", "transfer_encoding": "gzip"},
        {"content_length": "", "transfer_encoding": "chunked, chunked"},
    ],
    ids=str,
)
def test_lengths_that_are_none(server: Served, head: dict[str, str]) -> None:
    answer = sent(server.port, request("POST", "/next", b"{}", **head), end=True)
    assert answer.status in (400, 411, 413, 501)
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n", b"-1\r\n", b"fffffffffffffffff\r\n{}"])
def test_chunks_that_are_none(server: Served, chunk: bytes) -> None:
    head = request("POST", "/next", b"", content_length="", transfer_encoding="chunked")
    answer = sent(server.port, head + chunk, end=True)
    assert answer.status in (0, 400, 413)
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"x-long: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda data: repr(data[:30]),
)
def test_what_is_no_http(server: Served, data: bytes) -> None:
    answer = sent(server.port, data, end=True)
    assert answer.status in (0, 400, 413, 414, 431, 505)
    assert b"Traceback" not in answer.body
    assert server.metrics()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
@pytest.mark.parametrize("path", [*BODIES, "/v1/chat/completions", "/selftest"])
def test_another_method(server: Served, method: str, path: str) -> None:
    answer = sent(server.port, request(method, path))
    assert_told(answer, server, 405)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/health", "/metrics", "/model", "/v1/models", "/openapi.json"])
def test_what_is_only_read(server: Served, path: str) -> None:
    answer = sent(server.port, request("POST", path, b"{}"))
    assert_told(answer, server, 405)
    assert "GET" in answer.headers["allow"]
    head = sent(server.port, request("HEAD", path))
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/v1",
        "/v1/",
        "/v1/completion",
        "/v1/models/other",
        "/v1/models/" + "x" * 5000,
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/pyproject.toml",
        "//etc/passwd",
        "/..\\..\\etc\\passwd",
        "/etc/passwd%00.js",
        "/%00",
        "/%ff%fe",
        "/__init__.py",
        "/../__init__.py",
        "/..%2f__init__.py",
        "/server.py",
        "/index.html/",
        "/backends",
        "/backends/",
        "/backends/../../__init__.py",
        "/manifest.json",
        "/model.onnx",
        "/\x1b[2J",
    ],
)
def test_a_path_that_is_none(server: Served, target: str) -> None:
    answer = sent(server.port, request("GET", target))
    assert answer.status in (400, 404), (answer.status, answer.body[:200])
    assert b"Traceback" not in answer.body
    assert b"root:" not in answer.body
    if answer.headers["content-type"].startswith("application/json"):
        assert_told(answer, server, 400, 404)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "a b", "\xff", "[", "x" * 300],
)
def test_a_page_that_another_name_leads_here_reads_nothing(server: Served, host: str) -> None:
    # A name of another site that resolves to this machine (DNS rebinding).
    for path in ("/", "/model", "/v1/models"):
        answer = sent(server.port, request("GET", path, host=host))
        assert answer.status in (400, 403, 421), (answer.status, answer.body[:200])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.0.0.1:80", "localhost:8080", "[::1]"]
)
def test_names_of_this_machine(server: Served, host: str) -> None:
    assert sent(server.port, request("GET", "/health", host=host)).status == 200


def test_another_origin_gets_no_leave(server: Served) -> None:
    body = json.dumps(BODIES["/next"]).encode()
    for data in (
        request("POST", "/next", body, origin="https://evil.example"),
        request(
            "OPTIONS", "/next", origin="https://evil.example",
            access_control_request_method="POST", access_control_request_headers="content-type",
        ),
    ):  # fmt: skip
        answer = sent(server.port, data)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.status < 500


def test_bodies_that_do_not_end_keep_nobody_waiting(server: Served) -> None:
    body = json.dumps(BODIES["/next"]).encode()
    with ExitStack() as stack:
        for number in range(30):
            connection = stack.enter_context(connect(server.port))
            length = {"content_length": ""} if number % 2 else {"content_length": "1000"}
            chunked = {"transfer_encoding": "chunked"} if number % 2 else {}
            head = request("POST", "/v1/completions", b"", **length, **chunked)
            connection.sendall(head + (b"1\r\n{\r\n" if number % 2 else b"{"))
        for _ in range(5):
            assert sent(server.port, request("POST", "/next", body)).status == 200
    assert sent(server.port, request("POST", "/next", body)).status == 200


def test_several_requests_on_a_connection(server: Served) -> None:
    wrong = request("POST", "/next", b"{", connection="keep-alive")
    right = request("POST", "/next", json.dumps(BODIES["/next"]).encode())
    with connect(server.port) as connection:
        connection.sendall(3 * wrong + right)
        answers = received(connection).body
    assert answers.count(b"HTTP/1.1 400") == 2  # and the one that is parsed
    assert answers.count(b"HTTP/1.1 200") == 1


def test_no_answer_was_an_internal_error(server: Served) -> None:
    """Last in this file: nothing above was counted as the server's own failure."""
    counted: dict[str, Any] = {
        name: value
        for name, value in server.metrics().items()
        if name.startswith("gpt2_edge_requests_total") and 'status="5' in name
    }
    assert counted == {}
    assert "Traceback" not in "".join(server.lines)
