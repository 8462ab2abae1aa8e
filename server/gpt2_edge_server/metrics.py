"""What /metrics tells, by the Prometheus client library, in a registry of the server's own."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Watched(Protocol):
    """What the gauges of texts look at."""

    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def rows(self) -> int: ...


class Metrics:
    """The server's counters; every server has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gpt2_edge_requests",
            "Answers by endpoint and status",
            ["endpoint", "status"],
            registry=self.registry,
        )
        tokens = Counter(
            "gpt2_edge_tokens",
            "Tokens of prompts that were computed (read) or found in the cache (cached), and new "
            "ones (written)",
            ["kind"],
            registry=self.registry,
        )
        self.read, self.cached, self.written = (
            tokens.labels(kind) for kind in ("read", "cached", "written")
        )
        self.steps = Histogram(
            "gpt2_edge_step_seconds",
            "A step of all running texts",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_token = Histogram(
            "gpt2_edge_first_token_seconds",
            "From a request to its first token, with the time in the queue",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def watch(self, engine: Watched) -> None:
        """Show how many texts `engine` has, each time that somebody asks."""
        for name, documentation, value in (
            ("running", "Texts that are being written", lambda: engine.running),
            ("waiting", "Texts that wait for a row", lambda: engine.waiting),
            ("rows", "Rows of the cache", lambda: engine.rows),
        ):
            gauge = Gauge(f"gpt2_edge_{name}", documentation, registry=self.registry)
            gauge.set_function(value)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
