"""Bytes to the server and what comes back, without a client that would mend them."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.process import WAIT

_MOST = 64 << 20  # bytes of an answer


@dataclass(frozen=True)
class Answer:
    """What came back on a connection until it was closed. status 0: nothing."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def error(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


def connect(port: int) -> socket.socket:
    """A connection whose operations take WAIT seconds at most."""
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT)


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    kind: str = "application/json",
    **headers: str,
) -> bytes:
    """A request as it goes over the wire; `headers` win over the usual ones (- for _)."""
    fields = {"host": "127.0.0.1", "connection": "close"}
    if body is not None:
        fields |= {"content-type": kind, "content-length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def sent(port: int, data: bytes, end: bool = False) -> Answer:
    """Send `data`, and with `end` no more; the answer."""
    with connect(port) as connection:
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # an answer came before all of it was sent
        return received(connection)


def received(connection: socket.socket) -> Answer:
    """Read until the other side closes the connection."""
    parts, size = [], 0
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
            size += len(part)
            assert size < _MOST
    except ConnectionResetError:
        pass
    return _parsed(b"".join(parts))


def _parsed(data: bytes) -> Answer:
    if not data:
        return Answer(0, {}, b"")
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Answer(int(first.split()[1]), headers, body)


def _unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        parts.append(data[:count])
        data = data[count + 2 :]
    return b"".join(parts)
