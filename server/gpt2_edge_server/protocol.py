"""uvicorn's HTTP/1.1 protocol with a limit on how long a client may take for its headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADER_SECONDS = 20.0
_MOST_CONNECTIONS = 512


class PatientProtocol(H11Protocol):
    """A connection; one that sends no whole request for 20 to 40 seconds is closed."""

    _checks: asyncio.TimerHandle | None = None
    _idle_before = False

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol; over 512 connections, closed at once."""
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._checks is not None:
            self._checks.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._checks = self.loop.call_later(_HEADER_SECONDS, self._check)

    def _check(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._idle_before:
            self.transport.abort()
            return
        self._idle_before = idle
        self._watch()
