"""What is closed at the end of a `with` block, or when nobody has it any more."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Closing:
    """A context manager whose end is its `close`."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ClosingItself(Closing):
    """It closes, too, when the last reference to it goes; `close` waits for nothing."""

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # such as one whose making failed half-way
            self.close()
