"""One piece of work beside the caller's, in a thread, that cannot be waited for in vain.

Threads that are alive while the interpreter goes crash now and then: Python 3.10 lets one look for
the interpreter's lock in memory that is free already (later ones were not seen to), and ONNX
Runtime's own objects go too. So the process's end waits for them (atexit), and `pause` lets those
that sleep go on at once.
"""

from __future__ import annotations

import _thread
import atexit
import mmap
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

_ROOM = 1 << 20  # bytes that a thread takes before the first line of its own is run, and some more
# A thread that has not come to its first line by then never does: it found no room.
_BEGINS_SECONDS, _LOOK_SECONDS = 2.0, 0.001
_FIRST_LINE_SECONDS = 0.2  # for which its beginner leaves it the room; a busy machine takes some
_beginning: set[Beside] = set()  # whose threads have not come to their first line
_ending = _thread.allocate_lock()  # held until the process ends
_ending.acquire()


class Beside:
    """`work`, begun in a thread of its own where there is room for one.

    Not threading.Thread: where memory ends while a thread begins, its `start` never returns.
    Whoever comes first does the work, the thread or `result`. Python prints on stderr what ends a
    thread before its first line, so none begins where there is no room for that line, and its
    beginner takes none until it is there.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._claimed = _thread.allocate_lock()
        self._done = _thread.allocate_lock()
        self._begun = _thread.allocate_lock()
        self._failure: BaseException | None = None
        self._done.acquire()
        self._begun.acquire()
        _beginning.add(self)
        try:
            mmap.mmap(-1, _ROOM).close()
            _thread.start_new_thread(self._thread, ())
            self._begun.acquire(timeout=_FIRST_LINE_SECONDS)
        except (RuntimeError, MemoryError, OSError):  # no room for a thread: `result` does it
            _beginning.discard(self)

    def result(self) -> None:
        """Wait until the work is done; what it raised is raised here."""
        self._run()
        with self._done:
            if self._failure is not None:
                raise self._failure

    def _thread(self) -> None:
        _beginning.discard(self)
        self._begun.release()
        self._run()

    def _run(self) -> None:
        if not self._claimed.acquire(blocking=False):
            return
        try:
            self._work()
        except BaseException as error:
            self._failure = error
        finally:
            self._done.release()


def pause(seconds: float) -> bool:
    """Sleep, no longer than the process lasts; whether it lasts."""
    ends = _ending.acquire(timeout=seconds)
    if ends:
        _ending.release()
    return not ends


def _wait_for_threads() -> None:
    """Return once no thread of a Beside runs; what is behind its last line, it does at once."""
    with suppress(RuntimeError):  # it is open
        _ending.release()
    deadline = time.monotonic() + _BEGINS_SECONDS
    while (_beginning and time.monotonic() < deadline) or _any_runs():
        time.sleep(_LOOK_SECONDS)


def _any_runs() -> bool:
    return any(_first(frame).f_code is Beside._thread.__code__ for frame in _frames())


def _frames() -> list[FrameType]:
    return list(sys._current_frames().values())


def _first(frame: FrameType) -> FrameType:
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_beginning.clear)  # a forked process has no threads
atexit.register(_wait_for_threads)
