"""Beam search: the texts whose tokens together are most likely, several at a time.

The rules are those of transformers' GenerationMixin._beam_search (4.57), so that scores, lengths
and early stopping agree with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

EarlyStopping = bool | Literal["never"]

_IMPOSSIBLE = np.float32(-1e9)  # a score that any real one beats


@dataclass(frozen=True)
class Candidate:
    """A text of one more token: the beam that it continues, and the sum of log-probabilities."""

    parent: int
    token: int
    score: np.float32


@dataclass(frozen=True)
class Hypothesis:
    """A finished text: its new tokens and its score, log-probability / length ** length_penalty."""

    ids: tuple[int, ...]
    score: float


class Beams:
    """The running beams of one prompt and the best finished texts, `width` of each at most."""

    def __init__(
        self,
        width: int,
        max_new_tokens: int,
        eos_ids: Collection[int],
        length_penalty: float = 1.0,
        early_stopping: EarlyStopping = False,
    ) -> None:
        self.width = width
        self._max_new_tokens = max_new_tokens
        self._length_penalty, self._early_stopping = length_penalty, early_stopping
        # Enough that `width` beams go on even if every end-of-text token is among the best.
        self._looked_at = max(2, 1 + len(eos_ids)) * width
        # All rows begin with the same prompt: only the first may be continued at first.
        self._scores = np.full(width, _IMPOSSIBLE, np.float32)
        self._scores[0] = 0
        self._finished: list[Hypothesis] = []
        self._improvable = True

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """Which running beams [width] are texts that may be written; the others fill up."""
        found: npt.NDArray[np.bool_] = self._scores > -np.inf
        return found

    def candidates(self, logprobs: npt.NDArray[np.float32]) -> list[Candidate]:
        """The best continuations of the running beams, most likely first.

        logprobs: [width, vocab], of the next token of each beam.
        """
        vocab = logprobs.shape[1]
        totals = (logprobs + self._scores[:, None]).ravel()
        count = min(self._looked_at, len(totals))
        best = np.argpartition(-totals, count - 1)[:count]
        best = best[np.lexsort((best, -totals[best]))]
        return [Candidate(int(i) // vocab, int(i) % vocab, totals[i]) for i in best]

    def advance(
        self, found: Sequence[Candidate], texts: Sequence[Sequence[int]], ended: Sequence[bool]
    ) -> list[Candidate]:
        """Take in candidates, of which some `ended`; those that run on (empty: the search is over).

        texts: the new tokens of each candidate, its own last.
        """
        length = len(texts[0])
        self._finish(found[: self.width], texts, ended, length)
        order = sorted(range(len(found)), key=lambda i: (ended[i], i))[: self.width]
        running = [found[i] for i in order]
        self._scores = np.array(
            [found[i].score + ended[i] * _IMPOSSIBLE for i in order], np.float32
        )
        self._improvable = self._improvable and self._could_improve(length)
        full = len(self._finished) == self.width
        over = not self._improvable or (full and self._early_stopping is True) or all(ended)
        if over or not self.alive.any():
            return []
        return running

    def best(self, count: int) -> list[Hypothesis]:
        """The best finished texts."""
        return self._finished[:count]

    def _finish(
        self,
        found: Sequence[Candidate],
        texts: Sequence[Sequence[int]],
        ended: Sequence[bool],
        length: int,
    ) -> None:
        if not self._improvable:
            return
        if len(self._finished) == self.width and self._early_stopping is True:
            return
        new = [
            Hypothesis(tuple(texts[i]), self._penalized(candidate.score, length))
            for i, candidate in enumerate(found)
            if ended[i]
        ]
        # The sort is stable: of equals, the one that was there first stays.
        self._finished = sorted(self._finished + new, key=lambda h: -h.score)[: self.width]

    def _could_improve(self, length: int) -> bool:
        """Whether a running beam may yet beat the worst of `width` finished texts."""
        if len(self._finished) < self.width:
            return True
        longest = self._early_stopping == "never" and self._length_penalty > 0
        hypothetical = self._max_new_tokens if longest else length
        return self._penalized(self._scores[0], hypothetical) > self._finished[-1].score

    def _penalized(self, score: np.float32 | float, length: int) -> float:
        """Log-probability / length ** length_penalty, which may be beyond what a float holds."""
        try:
            divisor = length**self._length_penalty
        except OverflowError:
            divisor = np.inf
        with np.errstate(all="ignore"):
            return float(np.float32(score) / np.float32(divisor))
