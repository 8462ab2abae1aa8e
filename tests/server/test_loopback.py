"""Whether other machines can reach a server: its socket says so, not how its host was written."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from gpt2_edge_server.serving import Serving, is_loopback, listening
from server.served import Serve, error_of

HERE = (
    "localhost LOCALHOST 127.0.0.1 127.0.0.2 127.1 0x7f000001 ::1 ::ffff:127.0.0.1 0:0:0:0:0:0:0:1"
)
ANYWHERE = "0.0.0.0 0 :: ::ffff:0.0.0.0"


def opened(host: str) -> socket.socket:
    try:
        return listening(host, 0)
    except Exception as error:
        pytest.skip(f"this machine has no {host}: {error}")


@pytest.mark.parametrize("host", HERE.split())
def test_this_machine_alone(host: str) -> None:
    with opened(host) as sock:
        assert is_loopback(sock)


@pytest.mark.parametrize("host", ANYWHERE.split())
def test_every_machine(host: str) -> None:
    with opened(host) as sock:
        assert not is_loopback(sock)


@pytest.mark.skipif(os.name != "posix", reason="other resolvers know no shortened addresses")
@pytest.mark.parametrize("host", ["127.1", "named-here.test"])
def test_a_strange_name_for_this_machine_is_guarded(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    found = socket.getaddrinfo

    def resolved(name: str, *rest: Any, **more: Any) -> Any:
        return found("127.0.0.1" if name == "named-here.test" else name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with serve(host=host) as server:
        assert isinstance(server.serving, Serving)
        assert server.serving.loopback
        for name in (host, "localhost:80", "127.0.0.1", "[::1]"):
            assert server.client.get("/model", headers={"Host": name}).status_code == 200
        answer = server.client.get("/model", headers={"Host": "rebound.example"})
        assert "another machine" in error_of(answer, 400)["message"]


def test_a_server_for_all_takes_every_name(serve: Serve) -> None:
    with serve(host="0.0.0.0") as server:
        assert not server.serving.loopback
        url = f"http://127.0.0.1:{server.url.rpartition(':')[2]}/model"
        assert server.client.get(url, headers={"Host": "me.example"}).status_code == 200
