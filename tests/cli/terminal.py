"""The command at a terminal of its own: what it shows, and keys pressed when something is shown."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType

from cli.command import COMMAND, ENVIRONMENT

_PATIENCE = 60.0  # seconds; only a failure takes them


class AtTerminal:
    """A run of the command with a terminal of `rows` and `columns`; `shown` is all that it showed.

    A context manager, whose end kills what still runs.
    """

    def __init__(
        self,
        *arguments: object,
        command: Sequence[str] = COMMAND,
        rows: int = 24,
        columns: int = 80,
        **variables: str,
    ) -> None:
        self._ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        unset = ("NO_COLOR", "TERM", "COLUMNS", "LINES")
        environment = {k: v for k, v in ENVIRONMENT.items() if k not in unset}
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=its,
            stdout=its,
            stderr=its,
            env=environment | {"TERM": "xterm"} | variables,
            preexec_fn=_own_terminal,
        )
        os.close(its)
        self._bytes = b""
        self._seen = 0

    def __enter__(self) -> AtTerminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def shown(self) -> str:
        return self._bytes.decode("utf-8", "replace").replace("\r\n", "\n")

    def expect(self, pattern: str) -> str:
        """Wait until `pattern` (regular expression) is shown behind what was expected before; what
        stands there up to its end.
        """
        found = self._comes(pattern, _PATIENCE)
        assert found, f"{pattern!r} did not come behind {self.shown[self._seen :]!r}"
        text = self.shown[self._seen : self._seen + found.end()]
        self._seen += found.end()
        return text

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def interrupt_until(self, pattern: str) -> None:
        """Ctrl-C until `pattern` is shown: Python's readline does not hear one that comes between
        its prompt and its wait for a key.
        """
        end = time.monotonic() + _PATIENCE
        while not self._comes(pattern, 0) and time.monotonic() < end:
            self.interrupt()
            self._comes(pattern, 0.5)
        self.expect(pattern)

    def end(self) -> int:
        """Wait for the end; the exit status."""
        end = time.monotonic() + _PATIENCE
        while self._read(end):
            pass
        return self.process.wait(timeout=_PATIENCE)

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it does before and after the command."""
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)

    def _comes(self, pattern: str, seconds: float) -> re.Match[str] | None:
        """What matches `pattern` behind what was expected before, within that time."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.shown[self._seen :])
            if found or not self._read(end):
                return found

    def _read(self, end: float) -> bool:
        """Take what is shown next; False at the end, or when it took too long."""
        if not select.select([self._ours], [], [], max(end - time.monotonic(), 0))[0]:
            return False
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self._bytes += piece
        return bool(piece)


def _own_terminal() -> None:
    """In the child: standard input becomes its terminal, and no signal is ignored."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
