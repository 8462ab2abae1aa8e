"""What Ctrl-C, SIGTERM and a closed terminal do to the command.

While there is nothing to clean up (modules and the model are loading), a signal ends the process
at once: an exception out of a handler would be lost, or turned into another, by the modules that
are being imported. Elsewhere it unwinds the stack, so that finally clauses remove what is half
written. Where a library computes for long and keeps it from being heard (watchdog.py), the first
one ends the process if there is nothing to clean up, and a second one anyhow; where it keeps
Python's lock as well, only the kernel can (LoadingGraph).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from gpt2_edge_cli.streams import say
from gpt2_edge_cli.watchdog import Watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
# Signals that come as close as this are one wish; a later one is heard again, should the first
# have been swallowed on its way.
_ONE_WISH_SECONDS = 2.0
_AGAIN_SECONDS = 0.05
# How long a library may keep a signal from being heard; a product of large matrices takes seconds.
_LOADING_PATIENCE, _PATIENCE = 1.0, 5.0


class Signals:
    """The handlers of one run of the command, as a context manager.

    A signal that was ignored before (nohup, a shell's background job) stays ignored. own_process:
    the process does nothing else, so it may be ended at once, and what arrives behind the run, when
    Python shuts down, is ignored. Otherwise the handlers are put back as they were.
    """

    current: Signals | None = None

    def __init__(self, own_process: bool) -> None:
        self.own_process = own_process
        self.received: int | None = None
        self._received_at = 0.0
        self._at_once = own_process
        self._before: dict[int, object] = {}
        self._hook_before = sys.unraisablehook
        self._unheard = 0
        self._watchdog = Watchdog(
            self._not_heard, lambda: _LOADING_PATIENCE if self._at_once else _PATIENCE
        )

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may set handlers
        Signals.current = self
        for number in _numbers():
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN and before is not None:
                self._before[number] = before
                signal.signal(number, self._handle)
        self._hook_before = sys.unraisablehook
        sys.unraisablehook = self._unraisable
        if self.own_process:
            self._watchdog.start(self._before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if Signals.current is not self:
            return
        Signals.current = None
        self._watchdog.stop()
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.own_process else before)  # type: ignore[arg-type]
        if not self.own_process:
            sys.unraisablehook = self._hook_before

    def leave_to_kernel(self) -> None:
        """A signal ends the process without us, until `take_back`; called by the main thread."""
        for number in self._before if self.own_process else ():
            signal.signal(number, signal.SIG_DFL)

    def take_back(self) -> None:
        """Handle signals again."""
        for number in self._before if self.own_process else ():
            signal.signal(number, self._handle)

    @property
    def status(self) -> int | None:
        """The exit status that the received signal means; None before there was one."""
        return None if self.received is None else 128 + self.received

    def unwind(self) -> None:
        """From here on there is something to clean up."""
        self._at_once = False

    def at_once(self) -> None:
        """From here on there is nothing to clean up, so a signal may end the process itself."""
        self._at_once = self.own_process

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._at_once:
            _end(number)
        now = time.monotonic()
        if self.received is not None and now - self._received_at < _ONE_WISH_SECONDS:
            return  # the clean-up that the first one began is not to be disturbed
        self.received, self._received_at = number, now
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def _not_heard(self, number: int) -> None:
        self._unheard += 1
        if self._at_once or self._unheard > 1:
            _end(number)

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised in a destructor or a callback: raise it again elsewhere."""
        if self.received is None or unraisable.exc_type not in (KeyboardInterrupt, SystemExit):
            self._hook_before(unraisable)
            return
        number, self._received_at = self.received, 0.0
        self.received = None
        timer = threading.Timer(_AGAIN_SECONDS, _send, (number,))
        timer.daemon = True
        timer.start()


def _end(number: int) -> None:
    """End the process at once."""
    if number == signal.SIGINT:
        say("interrupted")
    os._exit(128 + number)


def _send(number: int) -> None:
    """Send ourselves a signal from any thread; to the main one, so that its wait ends, if it waits
    in a call of the kernel.
    """
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:  # Windows
        signal.raise_signal(number)


def is_own_process() -> bool:
    """Whether the process does nothing but what the command does."""
    return Signals.current is not None and Signals.current.own_process


class Loading:
    """`with Loading():` modules and models are loaded here, and nothing is written."""

    def __enter__(self) -> None:
        if Signals.current is not None:
            Signals.current.at_once()

    def __exit__(self, *_: object) -> None:
        if Signals.current is not None:
            Signals.current.unwind()


class LoadingGraph:
    """`with LoadingGraph():` ONNX Runtime loads a graph, and there is nothing to clean up.

    A graph can make that take hours, and before 1.31 Python's lock is kept all the while: none of
    our threads runs, and a signal would be heard behind it. There the kernel ends the process,
    without a word.
    """

    def __init__(self) -> None:
        from gpt2_edge.graph.check import onnxruntime_is_before

        self._left = Signals.current if onnxruntime_is_before("1.31") else None

    def __enter__(self) -> None:
        if self._left is not None:
            self._left.leave_to_kernel()

    def __exit__(self, *_: object) -> None:
        if self._left is not None:
            self._left.take_back()


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
