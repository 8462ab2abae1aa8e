"""Ctrl-C while a text is written: the first ends the text, the next one whatever is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class FirstInterrupt:
    """should_stop, while the block runs: the first Ctrl-C sets it, the next interrupts at once."""

    def __init__(self) -> None:
        self._set = False
        self._before: Any = None

    def __enter__(self) -> FirstInterrupt:
        before = signal.getsignal(signal.SIGINT)
        ours = threading.current_thread() is threading.main_thread()
        if ours and before not in (None, signal.SIG_IGN):  # ignored: in a shell's background
            self._before = before
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._set = True
        signal.signal(signal.SIGINT, self._before)

    def __call__(self) -> bool:
        return self._set


class ChatInterrupt:
    """Ctrl-C, while the block runs: it ends the text that is written and nothing else.

    While none is written, and again where the text does not end, it is a KeyboardInterrupt; only
    within `heard`, so that one behind another does not end who is telling of the first.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._is_writing = self._stops = self._is_heard = self._waits = False

    def __enter__(self) -> ChatInterrupt:
        before = signal.getsignal(signal.SIGINT)
        ours = threading.current_thread() is threading.main_thread()
        if ours and before not in (None, signal.SIG_IGN):
            self._before = before
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """KeyboardInterrupt comes in the block; from then on Ctrl-C is ignored until the next one.

        One that came before the block comes at its beginning.
        """
        if self._before is not None:
            signal.signal(signal.SIGINT, self._handle)
        self._is_heard = True
        try:
            if self._waits:
                self._waits = False
                raise KeyboardInterrupt
            yield
        finally:
            self._is_heard = False

    @contextmanager
    def writing(self) -> Iterator[Callable[[], bool]]:
        """should_stop of a text that is written in the block."""
        self._is_writing, self._stops = True, False
        try:
            yield lambda: self._stops
        finally:
            self._is_writing = False

    def _handle(self, *_: object) -> None:
        if self._is_writing and not self._stops:
            self._stops = True
        elif not self._is_heard:
            self._waits = True
        else:
            # A handler that returns while the exception of the one before is on its way, as
            # `input` lets it, is an error to CPython.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt
