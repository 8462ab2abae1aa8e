"""How far a long command is: one line on standard error, at a terminal only."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gpt2_edge_cli.streams import is_terminal

_CLEAR = "\r\033[K"
_EVERY = 0.1  # seconds
_BAR = 24  # columns


class Progress:
    """`total` things (None: nobody knows how many) that are done one after another."""

    def __init__(self, total: int | None, what: str) -> None:
        self._total, self._what = total, what
        self._done = self._tokens = 0
        self._begun = time.perf_counter()
        self._shown_at = self._begun
        self._visible = False
        self._on = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._hide()

    def show(self, done: int) -> None:
        """So many are done."""
        self._done = done
        self.refresh()

    def add(self, done: int, tokens: int) -> None:
        """`done` more, which have `tokens`."""
        self._tokens += tokens
        self.show(self._done + done)

    def refresh(self) -> None:
        """Show the line, if it is time to."""
        now = time.perf_counter()
        if self._on and now - self._shown_at >= _EVERY:
            self._shown_at, self._visible = now, True
            line = self.line(now - self._begun)
            sys.stderr.write(f"{_CLEAR}{line[: _columns() - 1]}")
            sys.stderr.flush()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """The line is away while the block writes to the same terminal."""
        if is_terminal(sys.stdout):
            self._hide()
        yield

    def line(self, seconds: float) -> str:
        """What is shown after so many seconds."""
        if self._total is None:
            return f"{self._done:,} {self._what}"
        share = self._done / self._total if self._total else 1.0
        filled = int(share * _BAR)
        bar = "#" * filled + "." * (_BAR - filled)
        parts = [f"[{bar}] {self._done:,} of {self._total:,} {self._what}"]
        if self._tokens and seconds:
            parts.append(f"{self._tokens / seconds:,.0f} tokens/s")
        if self._done and self._done < self._total:
            left = seconds / self._done * (self._total - self._done)
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)

    def _hide(self) -> None:
        if self._visible:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._visible = False


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
