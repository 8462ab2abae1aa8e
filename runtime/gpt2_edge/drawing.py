"""Drawing one token from a whole vocabulary, without sorting it.

The order of the candidates is that of sampling.py: by logit, then by id. Most draws fall among the
tokens near the first. For the others, tokens are put into bins by their logit, the bins' sums say
which one the draw falls into, and only that one is sorted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NEAR = 8.0  # how far from the first a token is sorted before there are bins, in nats
_MOST_NEAR = 4096
_BINS, _BINS_PER_NAT = 512, 32


def drawn_of_all(
    logits: npt.NDArray[np.float32], peak: np.float32, temperature: float, u: float
) -> int:
    """The token that the uniform number `u` in [0, 1) draws from `logits` [vocab].

    peak: the largest of them, finite; temperature: above 0. A token whose logit is minus infinity
    is never drawn.
    """
    scaled = (logits - peak) / np.float32(temperature)
    weights = np.exp(scaled)
    total = float(weights.sum(dtype=np.float64))
    whole = _Whole(logits, float(peak), temperature, u, total)
    near = np.flatnonzero(scaled >= -_NEAR)
    if len(near) <= _MOST_NEAR:
        found = whole.drawn(near, 0.0)
        if found is not None:
            return found
    bins = np.minimum(scaled * -_BINS_PER_NAT, _BINS - 1).astype(np.intp)
    cumulative = np.cumsum(np.bincount(bins, weights, _BINS)) / total
    first = int(np.searchsorted(cumulative, u, side="right"))
    for number in range(first, _BINS):  # the first, unless rounding puts u behind its end
        above = float(cumulative[number - 1]) if number else 0.0
        found = whole.drawn(np.flatnonzero((bins == number) & (weights > 0)), above)
        if found is not None:
            return found
    # A rounding error behind the end of all: the last of those that can be drawn.
    drawable = np.flatnonzero(weights)
    return int(drawable[np.argsort(-logits[drawable], kind="stable")[-1]])


class _Whole:
    """A draw: what it is of, and where it falls."""

    def __init__(
        self,
        logits: npt.NDArray[np.float32],
        peak: float,
        temperature: float,
        u: float,
        total: float,
    ) -> None:
        self._logits, self._peak, self._temperature = logits, peak, temperature
        self._u, self._total = u, total

    def drawn(self, ids: npt.NDArray[np.intp], above: float) -> int | None:
        """The one of `ids` (ascending) that is drawn, where those before them sum to `above`; None
        where the draw falls behind them.
        """
        ordered = ids[np.argsort(-self._logits[ids], kind="stable")]
        chosen = self._logits[ordered].astype(np.float64)
        weights = np.exp((chosen - self._peak) / self._temperature)
        cumulative = above + np.cumsum(weights / self._total)
        index = int(np.searchsorted(cumulative, self._u, side="right"))
        return int(ordered[index]) if index < len(ordered) else None
