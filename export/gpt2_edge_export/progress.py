"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

from tqdm import tqdm

_DELAY = 2  # seconds of work before a bar appears
_STAGE: ContextVar[str] = ContextVar("stage", default="")


class Progress(Protocol):
    """What is told of every step."""

    def update(self, n: float = 1) -> Any: ...


class _Bar(tqdm):  # type: ignore[misc]
    # Of an instance that a signal caught while it was made: its destructor asks for this.
    disable = True


class _Silence:
    def update(self, n: float = 1) -> None:
        pass


def progress_bar(
    total: float, what: str, unit: str | None = None
) -> AbstractContextManager[Progress]:
    """A bar that vanishes at the end; off a terminal nothing is written.

    unit: of steps that people would count; None where `total` is work in some measure.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        return nullcontext(_Silence())
    stage = _STAGE.get()
    counts = f" {{n_fmt}}/{{total_fmt}} {unit}" if unit else ""
    return _Bar(
        total=total,
        desc=f"{stage}: {what}" if stage else what,
        delay=_DELAY,
        leave=False,
        bar_format=f"{{l_bar}}{{bar}}|{counts} [{{elapsed}}<{{remaining}}]",
    )


@contextmanager
def stage(text: str) -> Iterator[None]:
    """What the bars of the block belong to, which stands in front of each."""
    token = _STAGE.set(text)
    try:
        yield
    finally:
        _STAGE.reset(token)
