"""What a server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerOptions:
    """How to serve a package.

    host, port: where to listen; port 0 takes a free one. max_rows: texts that are written at the
    same time; max_queue: texts that may wait behind them. max_cache_bytes: of all rows' keys and
    values together, None for no limit. max_body_bytes: of a request. grace: seconds that running
    texts have when the server ends. timeout: seconds after which a text ends where it is.
    api_key: what requests must bring. cors: origins whose pages may use the server. name: of the
    model, in place of the package's.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    max_rows: int = 8
    max_queue: int = 64
    max_cache_bytes: int | None = None
    max_body_bytes: int = 1 << 20
    grace: float = 10.0
    timeout: float = 600.0
    api_key: str | None = None
    cors: tuple[str, ...] = ()
    name: str | None = None
