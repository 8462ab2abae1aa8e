"""Choosing the next token from its logits.

Everything here is defined so that another language can do the same: candidates are ordered by
logit, then by id; probabilities are float64 (only the sum over a whole vocabulary adds float32
exponentials, so a draw within 1e-7 of a border may fall on either side); the draw is SplitMix64
through the inverse cumulative distribution. tests/vectors/sampling.json holds examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import GenerationError

Logits = npt.NDArray[np.float32]
Sampler = Callable[[Logits], int]

_MASK64 = (1 << 64) - 1
_FIRST_CANDIDATES = 1024
_COLDEST = 1e-30  # float32 logits divided by less overflow; greedy long before


class SplitMix64:
    """Steele, Lea and Flood's generator (OOPSLA 2014): one 64-bit word of state."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK64

    def next(self) -> int:
        """The next 64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK64
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
        return z ^ (z >> 31)

    def uniform(self) -> float:
        """A float64 in [0, 1): the top 53 bits over 2^53."""
        return (self.next() >> 11) / (1 << 53)


def make_sampler(
    config: GenerationConfig, seed: int, defaults: GenerationConfig | None = None
) -> Sampler:
    """The function from logits [vocab] to a token id that `config` asks for.

    defaults: of the package. The function raises GenerationError for logits that are not numbers.
    """
    settings = config.resolved(defaults)
    if not settings.samples:
        return greedy
    random = SplitMix64(seed)

    def sample(logits: Logits) -> int:
        u = random.uniform()
        kept = candidates(logits, settings.temperature, settings.top_k, settings.top_p, reach=u)
        return kept.at(u)

    return sample


def greedy(logits: Logits) -> int:
    """The most likely token; the lowest id among equals. GenerationError for a NaN among them."""
    token_id = int(np.argmax(logits))  # of the first NaN, if there is one
    _require_number(logits[token_id])
    return token_id


def largest(logits: Logits, k: int) -> npt.NDArray[np.intp]:
    """Ids of the k largest logits, largest first; among equals the lower id comes first.

    Raises GenerationError for a NaN among the logits.
    """
    if k >= len(logits):
        _require_number(np.max(logits))
        return np.argsort(-logits, kind="stable")
    parts = np.partition(logits, len(logits) - k)
    _require_number(np.max(parts[len(logits) - k :]))  # NaN counts as largest
    threshold = parts[len(logits) - k]
    above = np.flatnonzero(logits > threshold)
    equal = np.flatnonzero(logits == threshold)[: k - len(above)]
    ids = np.concatenate([above, equal])
    return ids[np.argsort(-logits[ids], kind="stable")]


@dataclass(frozen=True)
class Candidates:
    """Tokens that may be drawn, most likely first, with their cumulative probabilities.

    `whole` is the cumulative probability that a draw of 1 stands for; `ids` may end before it
    where nobody asked for the rest.
    """

    ids: npt.NDArray[np.intp]
    cumulative: npt.NDArray[np.float64]
    whole: float

    def at(self, u: float) -> int:
        """The token that the uniform number `u` in [0, 1) draws."""
        index = int(np.searchsorted(self.cumulative, u * self.whole, side="right"))
        return int(self.ids[min(index, len(self.ids) - 1)])


def candidates(
    logits: Logits, temperature: float, top_k: int, top_p: float, reach: float = 1.0
) -> Candidates:
    """What remains of `logits` [vocab] after temperature, then top_k (0: all), then top_p.

    A token passes top_p while the ones before it sum to less than top_p of the top_k. Where
    top_k allows the whole vocabulary, the tokens are only sorted as far as top_p or a draw of
    `reach` needs: sorting all of them would cost more than the rest of the sampler.
    """
    k = min(top_k or len(logits), len(logits))
    temperature = max(temperature, _COLDEST)
    total = None
    if k == len(logits):
        peak = np.max(logits)
        _require_number(peak)
        scaled = (logits - peak) / np.float32(temperature)
        total = float(np.exp(scaled).sum(dtype=np.float64))
        k = min(k, _FIRST_CANDIDATES)
    while True:
        ids = largest(logits, k)
        chosen = logits[ids].astype(np.float64)
        weights = np.exp((chosen - chosen[0]) / temperature)
        cumulative = np.cumsum(weights / (total or weights.sum()))
        needed = top_p if top_p < 1 else reach
        if total is None or cumulative[-1] > needed or k == len(logits):
            break
        k = min(8 * k, len(logits))
    if top_p < 1:
        kept = int(np.searchsorted(cumulative, top_p, side="left")) + 1
        ids, cumulative = ids[:kept], cumulative[:kept]
    complete = top_p < 1 or total is None or k == len(logits)
    return Candidates(ids, cumulative, float(cumulative[-1]) if complete else 1.0)


def most_likely(
    logits: Logits, count: int, temperature: float, top_k: int, top_p: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """The ids that are drawn most often, most likely first, and with which probability each.

    Up to `count`, of those that temperature (0: the most likely token), top_k and top_p leave.
    """
    k = 1 if temperature == 0 else top_k or len(logits)
    ids = largest(logits, min(count, k))
    weights = np.exp((logits - logits[ids[0]]).astype(np.float64) / max(temperature, _COLDEST))
    total = weights.sum()
    if top_p < 1:
        kept = candidates(logits, temperature, k, top_p).ids
        ids, total = kept[:count], weights[kept].sum()
    elif k < len(logits):
        total = weights[largest(logits, k)].sum()
    return ids, weights[ids] / total


def log_probability(logits: Logits, token_id: int) -> float:
    """Natural logarithm of the softmax of `logits` [vocab] at `token_id`.

    Raises GenerationError for a NaN among the logits.
    """
    peak = np.max(logits)
    _require_number(peak)
    return float(logits[token_id] - peak - np.log(np.exp(logits - peak).sum(dtype=np.float64)))


def _require_number(peak: np.float32) -> None:
    """Raise GenerationError unless `peak`, the largest logit as NumPy finds it, is finite."""
    # NumPy's maximum is NaN if any number is, so that one comparison is enough.
    if not math.isfinite(peak):
        raise GenerationError(
            f"the model gave logits that are not numbers (the largest is {peak}); export the "
            "model again with another recipe, or use another provider"
        )
