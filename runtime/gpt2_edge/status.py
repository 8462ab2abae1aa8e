"""One line on the terminal that says what a long command is doing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CLEAR = "\r\033[K"


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """A function that shows its latest text on standard error while the block runs.

    The line is cleared at the end. Off a terminal nothing is written.
    """

    def show(text: str) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(_CLEAR + text)
            sys.stderr.flush()

    try:
        yield show
    finally:
        show("")
