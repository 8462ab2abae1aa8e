"""What the decoder needs of a cache of several sequences, and how alike two of them begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Rows(Protocol):
    """Cached sequences (rows.py has the real ones); `ids[row]` are the tokens that a row holds."""

    @property
    def capacity(self) -> int: ...

    @property
    def ids(self) -> list[list[int]]: ...

    def step(self, rows: Sequence[int], tokens: Sequence[Sequence[int]], keep: int = 1) -> Floats:
        """Feed each of `rows` its tokens; logits [rows, keep, vocab] of the last `keep` positions.

        One row may take any number of tokens (keep 0: logits of all); several take one each. The
        logits of single tokens are overwritten by the next step.
        """
        ...

    def span(self, rows: Sequence[int]) -> int:
        """How many rows a step of `rows` computes: those between them too, where they are in one
        buffer.
        """
        ...

    def read(self, row: int, tokens: Sequence[int]) -> tuple[int, Floats | None]:
        """Feed the next part of a prompt: how many of `tokens` it took, and logits [vocab] after
        the last of them, None where some are left.
        """
        ...

    def trim(self, row: int, length: int) -> None:
        """Forget all tokens of `row` from number `length` on."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Make `target` hold what `source` does; what they have in common stays where it is."""
        ...


def common_prefix(one: Iterable[int], other: Iterable[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
