"""A real server on a free port, in a thread, and what a test asks of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from gpt2_edge.generate import Generator
from gpt2_edge_server.options import ServerOptions
from gpt2_edge_server.service import Service
from gpt2_edge_server.serving import Serving, listening

PATIENCE = 60.0  # seconds, for a slow and loaded machine


@dataclass
class Served:
    """A server that runs. log: what it told of errors that nobody foresaw."""

    url: str
    service: Service
    client: httpx.Client
    serving: Serving
    log: list[str] = field(default_factory=list)

    def post(self, path: str, **body: Any) -> httpx.Response:
        """The answer to a POST of `body`."""
        return self.client.post(path, json=body)

    def done(self, path: str, **body: Any) -> Any:
        """The body of an answer that has to be 200."""
        answer = self.post(path, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, status: int, path: str, **body: Any) -> dict[str, Any]:
        """The error of an answer that has to be `status`."""
        return error_of(self.post(path, **body), status)


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error in `answer`, which has to be `status` and of OpenAI's shape."""
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] == error["message"].strip() != ""
    return error


Serve = Callable[..., AbstractContextManager[Served]]


@contextmanager
def serving(package: Generator, **options: Any) -> Iterator[Served]:
    """`package` served while the block runs."""
    asked = ServerOptions(**{"port": 0, **options})
    log: list[str] = []
    server = Serving(package, asked, listening(asked.host, asked.port), log.append)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert server.ready.wait(PATIENCE)
        with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:
            yield Served(server.address, server.service, client, server, log)
    finally:
        server.stop(grace=False)
        thread.join(PATIENCE)
    assert not thread.is_alive()
