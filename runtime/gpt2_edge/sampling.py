"""Choosing the next token from its logits.

Everything here is defined so that another language can do the same: candidates are ordered by
logit, then by id; probabilities are float64 (only the sum over a whole vocabulary adds float32
exponentials, so a draw within 1e-7 of a border may fall on either side); the draw is SplitMix64
through the inverse cumulative distribution. spec/sampling.json holds examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpt2_edge.drawing import drawn_of_all
from gpt2_edge.errors import GenerationError

Logits = npt.NDArray[np.float32]
# Which token comes next: from its logits, for new token number n (from 0); pure in both.
Chooser = Callable[[Logits, int], int]
# How many of the sorted candidates stay, of their weights [n] (the first is 1) and cumulative
# probabilities [n]. What it says of the first ones may not depend on those behind them.
Truncation = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], int]

_MASK64 = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST_CANDIDATES = 1024
_COLDEST = 1e-30  # float32 logits divided by less overflow; greedy long before


class SplitMix64:
    """Steele, Lea and Flood's generator (OOPSLA 2014): one 64-bit word of state."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK64

    def next(self) -> int:
        """The next 64 random bits."""
        self._state = (self._state + _GOLDEN) & _MASK64
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
        return z ^ (z >> 31)

    def uniform(self) -> float:
        """A float64 in [0, 1): the top 53 bits over 2^53."""
        return (self.next() >> 11) / (1 << 53)


class SamplingSettings(Protocol):
    """What of EffectiveSettings says how tokens are chosen."""

    @property
    def do_sample(self) -> bool: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def top_p(self) -> float: ...
    @property
    def min_p(self) -> float: ...
    @property
    def typical_p(self) -> float: ...


def make_chooser(settings: SamplingSettings, seed: int) -> Chooser:
    """The function from logits [vocab] and the number of the draw to the token that `settings` ask.
    It raises GenerationError for logits that are not numbers.
    """
    if not settings.do_sample:
        return lambda logits, number: greedy(logits)
    truncations = [
        truncation
        for truncation, asked in (
            (top_p_truncation(settings.top_p), settings.top_p < 1),
            (min_p_truncation(settings.min_p), settings.min_p > 0),
        )
        if asked
    ]

    # Nothing but temperature: one token is looked for, and the vocabulary need not be sorted.
    whole = not truncations and settings.typical_p >= 1

    def sample(logits: Logits, number: int) -> int:
        u = draw(seed, number)
        if whole and not 0 < settings.top_k < len(logits):
            peak = np.max(logits)
            _require_number(peak)
            return drawn_of_all(logits, peak, max(settings.temperature, _COLDEST), u)
        kept = candidates(
            logits, settings.temperature, settings.top_k, truncations, settings.typical_p, u
        )
        return kept.at(u)

    return sample


def draw(seed: int, number: int) -> float:
    """Uniform number `number` (from 0) of the generator that `seed` starts: a float64 in [0, 1).

    SplitMix64's state is a counter, so every draw is at hand without those before it: nothing has
    to be rolled back behind a draft, copied for a beam, or saved with a cache.
    """
    return SplitMix64(seed + number * _GOLDEN).uniform()


def greedy(logits: Logits) -> int:
    """The most likely token; the lowest id among equals. GenerationError for a NaN among them."""
    token_id = int(logits.argmax())  # of the first NaN, if there is one
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
    logits: Logits,
    temperature: float,
    top_k: int,
    truncations: Sequence[Truncation] = (),
    typical_p: float = 1.0,
    reach: float = 1.0,
) -> Candidates:
    """What remains of `logits` [vocab] after temperature, top_k (0: all), truncations, typical_p.

    Truncations see the probabilities of the top_k; the least of what they keep stays. Where top_k
    allows the whole vocabulary, the tokens are only sorted as far as a truncation or a draw of
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
        k = len(logits) if typical_p < 1 else min(k, _FIRST_CANDIDATES)
    while True:
        ids = largest(logits, k)
        chosen = logits[ids].astype(np.float64)
        weights = np.exp((chosen - chosen[0]) / temperature)
        cumulative = np.cumsum(weights / (total or weights.sum()))
        kept = min((keep(weights, cumulative) for keep in truncations), default=len(ids))
        enough = kept < len(ids) if truncations else cumulative[-1] > reach
        if total is None or enough or k == len(logits):
            break
        k = min(8 * k, len(logits))
    complete = bool(truncations) or total is None or k == len(logits)
    ids, weights, cumulative = ids[:kept], weights[:kept], cumulative[:kept]
    if typical_p < 1:
        typical = _typical(weights, typical_p)
        ids, cumulative = ids[typical], np.cumsum(weights[typical])
    return Candidates(ids, cumulative, float(cumulative[-1]) if complete else 1.0)


def top_p_truncation(top_p: float) -> Truncation:
    """Nucleus sampling (Holtzman et al. 2020): a token stays while those before it sum to less."""
    return lambda weights, cumulative: int(np.searchsorted(cumulative, top_p, side="left")) + 1


def min_p_truncation(min_p: float) -> Truncation:
    """Nguyen et al. 2024: tokens stay that are at least `min_p` times as likely as the first."""
    return lambda weights, cumulative: int(np.searchsorted(-weights, -min_p, side="right"))


def _typical(weights: npt.NDArray[np.float64], mass: float) -> npt.NDArray[np.bool_]:
    """Locally typical sampling (Meister et al. 2022): which candidates stay.

    Those whose information content is nearest to the entropy, until they sum to `mass`.
    """
    probabilities = weights / weights.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = -np.log(probabilities)
        entropy = np.nansum(probabilities * information)
    distance = np.abs(information - entropy)
    order = np.argsort(distance, kind="stable")
    reached = int(np.sum(np.cumsum(probabilities[order]) < mass))
    kept: npt.NDArray[np.bool_] = distance <= distance[order[min(reached, len(order) - 1)]]
    return kept


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
        kept = candidates(logits, temperature, k, [top_p_truncation(top_p)]).ids
        ids, total = kept[:count], weights[kept].sum()
    elif k < len(logits):
        total = weights[largest(logits, k)].sum()
    return ids, weights[ids] / total


def log_probability(logits: Logits, token_id: int) -> float:
    """Natural logarithm of the softmax of `logits` [vocab] at `token_id`.

    Raises GenerationError for a NaN among the logits.
    """
    return log_probabilities_of(logits, [token_id])[0]


def log_probabilities_of(logits: Logits, token_ids: Iterable[int]) -> list[float]:
    """As log_probability, of several tokens of one softmax."""
    peak = np.max(logits)
    _require_number(peak)
    total = np.log(np.exp(logits - peak).sum(dtype=np.float64))
    return [float(logits[token] - peak - total) for token in token_ids]


def _require_number(peak: np.float32) -> None:
    """Raise GenerationError unless `peak`, the largest logit as NumPy finds it, is finite."""
    # NumPy's maximum is NaN if any number is, so that one comparison is enough.
    if not math.isfinite(peak):
        raise GenerationError(
            f"the model gave logits that are not numbers (the largest is {peak}); export the "
            "model again with another recipe, or use another provider"
        )


def log_probabilities(logits: Logits) -> Logits:
    """Natural logarithms of the softmax of `logits` [vocab], in float32."""
    shifted = logits - np.max(logits)
    total = np.log(np.exp(shifted).sum(dtype=np.float64))
    result: Logits = (shifted - total).astype(np.float32)
    return result
