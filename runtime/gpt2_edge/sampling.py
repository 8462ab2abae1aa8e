"""Choosing the next token from its logits.

Everything here is defined so that another language can do the same: candidates are ordered by
logit, then by id; probabilities are float64 (only the sum over a whole vocabulary adds float32
exponentials, so a draw within 1e-7 of a border may fall on either side); the draw is SplitMix64
through the inverse cumulative distribution. tests/vectors/sampling.json holds examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge.config import GenerationConfig

Logits = npt.NDArray[np.float32]
Sampler = Callable[[Logits], int]

_DEFAULT_TOP_K = 50  # transformers' default
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


def make_sampler(config: GenerationConfig, seed: int) -> Sampler:
    """The function from logits [vocab] to a token id that `config` asks for."""
    if not config.samples:
        return greedy
    temperature = 1.0 if config.temperature is None else config.temperature
    top_k = _DEFAULT_TOP_K if config.top_k is None else config.top_k
    top_p = 1.0 if config.top_p is None else config.top_p
    random = SplitMix64(seed)

    def sample(logits: Logits) -> int:
        u = random.uniform()
        return candidates(logits, temperature, top_k, top_p, reach=u).at(u)

    return sample


def greedy(logits: Logits) -> int:
    """The most likely token; the lowest id among equals."""
    return int(np.argmax(logits))


def largest(logits: Logits, k: int) -> npt.NDArray[np.intp]:
    """Ids of the k largest logits, largest first; among equals the lower id comes first."""
    if k >= len(logits):
        return np.argsort(-logits, kind="stable")
    threshold = np.partition(logits, len(logits) - k)[len(logits) - k]
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
    """What remains of `logits` [vocab] after temperature, then top_k, then top_p.

    A token passes top_p while the ones before it sum to less than top_p of the top_k. Where
    top_k allows the whole vocabulary, the tokens are only sorted as far as top_p or a draw of
    `reach` needs: sorting all of them would cost more than the rest of the sampler.
    """
    k = min(top_k, len(logits))
    temperature = max(temperature, _COLDEST)
    total = None
    if k == len(logits):
        scaled = (logits - np.max(logits)) / np.float32(temperature)
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


def log_probability(logits: Logits, token_id: int) -> float:
    """Natural logarithm of the softmax of `logits` [vocab] at `token_id`."""
    peak = np.max(logits)
    return float(logits[token_id] - peak - np.log(np.exp(logits - peak).sum(dtype=np.float64)))


def probabilities(logits: Logits) -> npt.NDArray[np.float64]:
    """Softmax of `logits` [vocab] in float64."""
    weights = np.exp((logits - np.max(logits)).astype(np.float64))
    normalized: npt.NDArray[np.float64] = weights / weights.sum()
    return normalized
