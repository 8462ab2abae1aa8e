"""uvicorn's HTTP/1.1 protocol with a limit on how long a client may take for its headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADER_SECONDS = 20.0
_LEAST_TAKEN = 20 << 10  # bytes of the rest of an answer, from one check to the next
MOST_CONNECTIONS = 512


class PatientProtocol(H11Protocol):
    """A connection; one that sends no whole request for 20 to 40 seconds is closed.

    So is one whose answer has ended, or was given up, and whose reader hardly takes it: less than
    a kilobyte a second.
    """

    _checks: asyncio.TimerHandle | None = None
    _over_before: tuple[object, int] | None = None  # the last request, and bytes not yet taken

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol; over 512 connections, closed at once."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
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
        cycle, transport = self.cycle, self.transport
        over: tuple[object, int] | None = None
        if transport.is_closing() or cycle is None or cycle.response_complete:
            over = cycle, transport.get_write_buffer_size()
        before, self._over_before = self._over_before, over
        # The same request is over since the last check: does its reader take the rest?
        if over and before and over[0] is before[0]:
            taken = before[1] - over[1]
            if taken <= 0 or (over[1] and taken < _LEAST_TAKEN):
                transport.abort()
                return
        self._watch()
