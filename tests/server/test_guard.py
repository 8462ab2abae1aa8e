"""Who may ask, what every answer carries, and what no answer tells."""

from __future__ import annotations

import gzip
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gpt2_edge.errors import GenerationError, PackageError
from gpt2_edge_server.errors import as_api_error
from gpt2_edge_server.exchange import Exchange
from server.served import PATIENCE, Serve, Served, error_of

KEY = "sk-test-0123456789"


@pytest.fixture(scope="module")
def keyed(serve: Serve) -> Iterator[Served]:
    with serve(api_key=KEY, cors=("https://friend.example",), name="mine") as served:
        yield served


def test_a_key(keyed: Served) -> None:
    body = {"prompt": "A", "max_tokens": 1}
    for headers in (
        {},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer \u00e9".encode("latin-1")},
    ):
        answer = keyed.client.post("/v1/completions", json=body, headers=headers)  # type: ignore[arg-type]
        error = error_of(answer, 401)
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in answer.text
    right = {"Authorization": f"Bearer {KEY}"}
    assert keyed.client.post("/v1/completions", json=body, headers=right).status_code == 200


def test_what_needs_no_key(keyed: Served) -> None:
    for path in ("/", "/index.html", "/health"):
        assert keyed.client.get(path).status_code == 200
    for path in ("/v1/models", "/model", "/metrics", "/openapi.json", "/nowhere"):
        error_of(keyed.client.get(path), 401)


def test_a_name_of_the_servers_own(keyed: Served) -> None:
    right = {"Authorization": f"Bearer {KEY}"}
    (model,) = keyed.client.get("/v1/models", headers=right).json()["data"]
    assert model["id"] == "mine"
    assert keyed.client.get("/v1/models/mine", headers=right).json() == model
    error_of(keyed.client.get("/v1/models/other", headers=right), 404)


def test_cors_of_a_friend(keyed: Served) -> None:
    asked = {
        "Origin": "https://friend.example",
        "Access-Control-Request-Method": "POST",
        # What OpenAI's client for JavaScript sends.
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
    }
    answer = keyed.client.options("/v1/completions", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    assert "x-stainless-lang" in answer.headers["access-control-allow-headers"]
    answer = keyed.client.post(
        "/tokenize",
        json={"prompt": "A"},
        headers={"Origin": "https://friend.example", "Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"


def test_pages_of_strangers(keyed: Served, server: Served) -> None:
    for served in (keyed, server):
        for origin in ("https://evil.example", "null", "http://[", f"{served.url}.evil.example"):
            headers = {"Origin": origin, "Authorization": f"Bearer {KEY}"}
            answer = served.client.post("/tokenize", json={"prompt": "A"}, headers=headers)
            error_of(answer, 403)
            assert "access-control-allow-origin" not in answer.headers
            preflight = {**headers, "Access-Control-Request-Method": "POST"}
            answer = served.client.options("/tokenize", headers=preflight)
            assert "access-control-allow-origin" not in answer.headers


def test_the_page_itself(server: Served) -> None:
    answer = server.client.post("/tokenize", json={"prompt": "A"}, headers={"Origin": server.url})
    assert answer.status_code == 200


def test_a_form_of_another_site(server: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        for path in ("/v1/completions", "/selftest"):
            headers = {"Content-Type": kind}
            answer = server.client.post(path, content=b'{"prompt": "A"}', headers=headers)
            error_of(answer, 415)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1", "", "10.0.0.1"])
def test_another_host_is_refused(server: Served, host: str) -> None:
    error_of(server.client.get("/model", headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:8080"])
def test_this_machine_has_several_names(server: Served, host: str) -> None:
    assert server.client.get("/model", headers={"Host": host}).status_code == 200


def test_headers_of_every_answer(server: Served) -> None:
    answers = [
        server.client.get("/"),
        server.client.get("/health"),
        server.client.get("/nowhere"),
        server.client.get("/health", headers={"Host": "evil.example"}),
        server.post("/tokenize", prompt=3),
        server.post("/v1/completions", prompt="A", max_tokens=1),
        server.post("/v1/completions", prompt="A", max_tokens=1, stream=True),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
        assert answer.headers["cache-control"] in ("no-store", "no-cache")


def test_paths_and_methods(server: Served) -> None:
    error_of(server.client.get("/nowhere"), 404)
    error_of(server.client.get("/v1/completions"), 405)
    error_of(server.client.put("/tokenize", json={}), 405)
    error_of(server.client.post("/health", json={}), 405)
    assert server.client.head("/health").status_code == 200


def test_the_pages_files(server: Served) -> None:
    page = server.client.get("/", headers={"Accept-Encoding": "identity"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept-Encoding"
    again = server.client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    with server.client.stream("GET", "/", headers={"Accept-Encoding": "gzip"}) as packed:
        content = b"".join(packed.iter_raw())
        if packed.headers.get("content-encoding") == "gzip":
            assert len(content) < len(page.content)
            content = gzip.decompress(content)
    assert content == page.content
    assert server.client.head("/").headers["content-length"] == str(len(page.content)) or (
        "content-encoding" in server.client.head("/").headers
    )


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml", "/%2e%2e/%2e%2e/pyproject.toml", "/..%2fserving.py", "/static.py",
        "//etc/passwd", "/index.html/", "/.", "/playground/index.html", "/__pycache__/x.pyc",
        "/index.html%00",
    ],
)  # fmt: skip
def test_no_way_out_of_the_page(server: Served, path: str) -> None:
    connection = http.client.HTTPConnection(httpx.URL(server.url).netloc.decode(), timeout=PATIENCE)
    connection.putrequest("GET", path)  # as it stands, where httpx would resolve the dots
    connection.endheaders()
    assert connection.getresponse().status == 404
    connection.close()


def test_what_nobody_foresaw_tells_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("/secret\n/path")

    monkeypatch.setattr("gpt2_edge_server.looking.predicted", broken)
    with serve() as server:
        answer = server.post("/score", prompt="A B")
        assert error_of(answer, 500)["type"] == "server_error"
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert server.log == ["/score: RuntimeError: /secret\\n/path"]
        assert server.post("/tokenize", prompt="A").status_code == 200


def test_errors_of_ours_name_no_folder(tmp_path: Path) -> None:
    for error in (
        GenerationError(f"{tmp_path / 'package'} has no tokenizer"),
        PackageError(f"{tmp_path / 'package' / 'tokenizer.json'} is damaged"),
        RuntimeError(str(tmp_path)),
    ):
        assert str(tmp_path) not in as_api_error(error, tmp_path / "package").message


def test_what_it_says_of_itself(server: Served) -> None:
    model = server.client.get("/model").json()
    package = server.service.generator.package
    assert model["total_bytes"] == package.total_bytes
    assert {file["name"] for file in model["files"]} == set(package.manifest.files)
    groups = {group["name"]: group for group in model["groups"]}
    assert set(groups) >= {"embeddings", "attention", "feed-forward"}
    assert groups["attention"]["bits"] == pytest.approx(32, abs=0.01)
    assert sum(group["bytes"] for group in groups.values()) <= package.total_bytes
    assert model["parameters"] == sum(group["parameters"] for group in groups.values())
    assert str(package.folder) not in server.client.get("/model").text
    answer = server.client.post("/selftest", headers={"Content-Type": "application/json"})
    assert answer.json() == {"passed": True, "problems": []}
    assert server.client.get("/health").json() == {"status": "ok"}


def test_openapi_has_every_path(server: Served) -> None:
    document = server.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method in methods:
            answer = server.client.request(
                method, path.replace("{id}", "sample"), content=b"{}",
                headers={"Content-Type": "application/json"}, timeout=PATIENCE,
            )  # fmt: skip
            assert answer.status_code in (200, 400)
    body = document["components"]["schemas"]["CompletionBody"]
    assert body["additionalProperties"] is False
    assert {"prompt", "max_tokens", "regex"} <= set(body["properties"])


def test_who_asks_for_a_self_test_together_gets_one(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpt2_edge_server.description as module

    begun, go_on, runs = threading.Event(), threading.Event(), list[object]()

    def slow(generator: object) -> list[str]:
        runs.append(generator)
        begun.set()
        assert go_on.wait(PATIENCE)
        return ["a problem"]

    asked, require_json = list[object](), Exchange.require_json

    def counted(self: Exchange) -> None:
        asked.append(self)
        require_json(self)

    monkeypatch.setattr(module, "run_self_test", slow)
    monkeypatch.setattr(Exchange, "require_json", counted)
    told: list[Any] = []
    asking = [
        threading.Thread(target=lambda: told.append(server.done("/selftest"))) for _ in range(6)
    ]
    for thread in asking:
        thread.start()
    assert begun.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while len(asked) < 6:
        assert time.monotonic() < end
        time.sleep(0.005)
    go_on.set()
    for thread in asking:
        thread.join(PATIENCE)
    assert told == [{"passed": False, "problems": ["a problem"]}] * 6
    assert len(runs) == 1
