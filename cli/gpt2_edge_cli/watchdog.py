"""A signal is heard at once where the command waits, and ends it where a library computes.

Python's handlers run between two of its instructions. It looks for signals, and then begins to
wait: one in between, which a busy machine makes a matter of milliseconds, would be heard at the
next key. And loading a large graph, or reading a long prompt, is a single instruction.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable, Collection

# Between a signal and the first question: as good as always its handler has long been run. What
# Python's readline does with a second one that comes while the first is handled is an error.
_PAUSE = 0.1


class Watchdog:
    """Sees to it that the main thread hears the signals `numbers`, from `start` to `stop`.

    A thread is told of each by the kernel. It interrupts the main thread's wait by a signal of its
    own, SIGURG, which nothing else uses; a main thread that answers has heard the other one, too.
    unheard: is called with the number of a signal where none answers within `patience` seconds.
    Does nothing on Windows, which wakes those who wait for keys by itself, and where there is no
    room for a pipe or a thread: the command may do without.
    """

    def __init__(self, unheard: Callable[[int], object], patience: Callable[[], float]) -> None:
        self._unheard, self._patience = unheard, patience
        self._answered = False
        self._told: int | None = None
        self._before: tuple[int, object] = (-1, None)

    def start(self, numbers: Collection[int]) -> None:
        """To be called by the main thread."""
        main = threading.main_thread().ident
        if os.name != "posix" or main is None:
            return
        try:
            heard, told = os.pipe()
        except OSError:
            return
        try:
            # Not threading.Thread: where memory ends while one begins, its `start` never returns.
            _thread.start_new_thread(self._watch, (heard, frozenset(numbers), main))
        except RuntimeError:
            os.close(heard)
            os.close(told)
            return
        os.set_blocking(told, False)
        self._told = told
        handler = signal.signal(signal.SIGURG, self._answer)
        self._before = signal.set_wakeup_fd(told, warn_on_full_buffer=False), handler

    def stop(self) -> None:
        """To be called by the main thread."""
        if self._told is None:
            return
        told, handler = self._before
        signal.set_wakeup_fd(told)
        os.close(self._told)
        self._told = None
        signal.signal(signal.SIGURG, handler)  # type: ignore[arg-type]

    def _answer(self, *_: object) -> None:
        self._answered = True

    def _watch(self, heard: int, numbers: Collection[int], main: int) -> None:
        with os.fdopen(heard, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] in numbers and not self._answers(main):
                    self._unheard(number[0])

    def _answers(self, main: int) -> bool:
        self._answered = False
        begin = time.monotonic()
        while not self._answered and time.monotonic() < begin + self._patience():
            time.sleep(_PAUSE)
            signal.pthread_kill(main, signal.SIGURG)
            time.sleep(_PAUSE)
        return self._answered
