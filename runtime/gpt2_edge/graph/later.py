"""Work that nobody waits for: it begins a while later, or at the process's end."""

from __future__ import annotations

import _thread
import atexit
import os
import weakref
from collections.abc import Callable
from contextlib import suppress

from gpt2_edge.graph.background import Beside

_ALL: weakref.WeakSet[Later] = weakref.WeakSet()


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
        self._beside = Beside(self._run)
        _ALL.add(self)
        atexit.register(self.finish)

    def finish(self) -> None:
        """Begin at once, if it has not begun, and wait until it is done."""
        atexit.unregister(self.finish)
        if os.getpid() != self._process:  # a forked one, which has not the thread
            return
        with suppress(RuntimeError):
            self._gate.release()
        with suppress(KeyboardInterrupt):
            self._beside.result()

    def drop(self) -> None:
        """Do not begin any more."""
        self._dropped = True

    def _run(self) -> None:
        self._gate.acquire(timeout=self._seconds)
        if not self._dropped:
            self._work()


def drop_all() -> None:
    """Begin nothing that has not begun: the process is to end now."""
    for later in list(_ALL):
        later.drop()
