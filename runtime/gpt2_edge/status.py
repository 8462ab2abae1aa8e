"""One line on the terminal that says what a long command is doing."""

from __future__ import annotations

import sys
from types import TracebackType

_CLEAR = "\r\033[K"


class Status:
    """Shows its latest text on standard error while the block runs; silent off a terminal."""

    def __enter__(self) -> Status:
        return self

    def __call__(self, text: str) -> None:
        """Replace the line by `text`."""
        self._write(_CLEAR + text)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write(_CLEAR)

    def _write(self, text: str) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(text)
            sys.stderr.flush()
