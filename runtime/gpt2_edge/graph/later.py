"""Work that nobody waits for: it begins a while later, or at the process's end."""

from __future__ import annotations

import _thread
import atexit
import os
from collections.abc import Callable
from contextlib import suppress

from gpt2_edge.graph.background import Beside

PENDING: set[Later] = set()


class Later:
    """`work`, in a thread of its own once `seconds` have gone by, or once the process ends.

    So it is not in the way of what the caller does first, and done even by a short process, which
    waits for it. `work` raises nothing.
    """

    def __init__(self, work: Callable[[], None], seconds: float) -> None:
        self._work, self._seconds = work, seconds
        self._dropped = False
        self._process = os.getpid()
        self._gate = _thread.allocate_lock()
        self._gate.acquire()
        PENDING.add(self)
        atexit.register(self.finish)
        self._beside = Beside(self._run)

    def finish(self) -> None:
        """Begin at once, if it has not begun, and wait until it is done."""
        self._forget()
        if os.getpid() != self._process:  # a forked one, which has not the thread
            return
        self._open_gate()
        with suppress(KeyboardInterrupt):
            self._beside.result()

    def drop(self) -> None:
        """Do not begin any more."""
        self._dropped = True
        self._forget()
        self._open_gate()

    def _run(self) -> None:
        self._gate.acquire(timeout=self._seconds)
        if not self._dropped:
            self._work()
        self._forget()

    def _open_gate(self) -> None:
        with suppress(RuntimeError):  # it is open
            self._gate.release()

    def _forget(self) -> None:
        atexit.unregister(self.finish)
        PENDING.discard(self)


def drop_all() -> None:
    """Begin nothing that has not begun: the process is to end now."""
    for later in list(PENDING):
        later.drop()
