"""Signals that wait while something is cleaned up."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class HeldSignals:
    """Handlers in front of the process's own, which keep signals back from `hold` to `release`.

    To be used with two nested try statements, since a signal may come wherever Python looks for
    one, and be raised as an exception there:

        signals = HeldSignals()
        try:
            try:
                signals.catch()
                ...
            finally:
                signals.hold()
        finally:
            signals.hold()
            ...  # the clean-up
            signals.release()

    Masks of the thread would not do: threads of ONNX Runtime take a signal as well, and Python runs
    its handler in the main thread all the same. In other threads than that none of this is needed.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._held = False
        self._waiting: int | None = None

    def catch(self) -> None:
        """Stand in front of the handlers; a signal that is ignored, or ends the process, may."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and callable(before := signal.getsignal(number)):
                self._before[number] = before
                signal.signal(number, self._handle)

    def hold(self) -> None:
        """Keep signals back from here on."""
        self._held = True

    def release(self) -> None:
        """Put the handlers back, and deliver the last signal that was kept back."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)
        self._before = {}
        if self._waiting is not None:
            signal.raise_signal(self._waiting)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._held:
            self._waiting = number
        else:
            self._before[number](number, frame)
