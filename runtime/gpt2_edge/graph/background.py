"""One piece of work beside the caller's, in a thread, that cannot be waited for in vain."""

from __future__ import annotations

import _thread
import mmap
from collections.abc import Callable
from contextlib import suppress

_ROOM = 1 << 20  # bytes that a thread takes before the first line of its own is run, and some more


class Beside:
    """`work`, begun in a thread of its own where there is room for one.

    Not threading.Thread: where memory ends while a thread begins, its `start` never returns.
    Whoever comes first does the work, the thread or `result`. Python prints on stderr what ends a
    thread before its first line, so none begins where there is no room for that line.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._claimed = _thread.allocate_lock()
        self._done = _thread.allocate_lock()
        self._failure: BaseException | None = None
        self._done.acquire()
        with suppress(RuntimeError, MemoryError, OSError):  # no room for a thread: `result` does it
            mmap.mmap(-1, _ROOM).close()
            _thread.start_new_thread(self._run, ())

    def result(self) -> None:
        """Wait until the work is done; what it raised is raised here."""
        self._run()
        with self._done:
            if self._failure is not None:
                raise self._failure

    def _run(self) -> None:
        if not self._claimed.acquire(blocking=False):
            return
        try:
            self._work()
        except BaseException as error:
            self._failure = error
        finally:
            self._done.release()
