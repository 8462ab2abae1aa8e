"""How far a package's predictions are from those of another, on a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge.generate import Generator

# Positions whose logits exist at one time, and those worked on at once, which stay in the cache.
_FED, _ROWS = 128, 16


@dataclass(frozen=True)
class Quality:
    """Figures over `tokens` predictions.

    perplexity: of the candidate on the text; reference_perplexity: of the reference. mean_kl and
    p99_kl: Kullback-Leibler divergence of the candidate from the reference in nats a token, its
    mean and what 99% of the tokens stay under. top1: share of positions at which both find the
    same token most likely.
    """

    tokens: int
    perplexity: float
    reference_perplexity: float
    mean_kl: float
    p99_kl: float
    top1: float


def compare(
    reference: Generator,
    candidate: Generator,
    ids: Sequence[int],
    count: Callable[[int], object] = lambda tokens: None,
) -> Quality:
    """Compare two packages of one vocabulary on the text `ids`, in windows of the context length.

    Windows do not overlap, and the first token of each is not predicted. `count` is told of every
    few tokens that are done. Raises ExportError for fewer than two ids or packages of different
    vocabularies.
    """
    sizes = {g.manifest.architecture.vocab_size for g in (reference, candidate)}
    if len(ids) < 2 or len(sizes) > 1:
        raise ExportError("comparing needs two tokens or more, and packages of one vocabulary")
    window = min(g.manifest.architecture.context_length for g in (reference, candidate))
    divergences: list[npt.NDArray[np.float32]] = []
    top1, loss, reference_loss, predicted = 0, 0.0, 0.0, 0
    for part in _windows(ids, window):
        chunks = (_logits(generator, part) for generator in (reference, candidate))
        for (targets, expected), (_, actual) in zip(*chunks, strict=True):
            p, q = Softmax(expected), Softmax(actual)
            reference_loss += p.loss(targets)
            loss += q.loss(targets)
            predicted += len(targets)
            top1 += int(np.sum(np.argmax(expected, -1) == np.argmax(actual, -1)))
            divergences.append(p.divergence(q))
            count(len(expected))
    divergence = np.concatenate(divergences).astype(np.float64)
    return Quality(
        tokens=len(ids),
        perplexity=_exp(loss / predicted),
        reference_perplexity=_exp(reference_loss / predicted),
        mean_kl=float(np.mean(divergence)),
        p99_kl=float(np.quantile(divergence, 0.99)),
        top1=top1 / len(ids),
    )


def perplexity(
    generator: Generator,
    ids: Sequence[int],
    count: Callable[[int], object] = lambda tokens: None,
) -> float:
    """Perplexity of the text `ids` as `compare` computes it."""
    loss, predicted = 0.0, 0
    for part in _windows(ids, generator.manifest.architecture.context_length):
        for targets, logits in _logits(generator, part):
            loss += Softmax(logits).loss(targets)
            predicted += len(targets)
            count(len(logits))
    return _exp(loss / predicted)


class Softmax:
    """Probabilities of logits [tokens, vocab] in float32, without more passes than needed."""

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self.logits = logits
        largest = np.max(logits, -1, keepdims=True)
        self.weights = np.exp(logits - largest)
        self.total = np.sum(self.weights, -1)
        self.log_total = largest[:, 0] + np.log(self.total)

    def loss(self, targets: npt.NDArray[np.int64]) -> float:
        """Sum of -log p of the first tokens' `targets`."""
        rows = np.arange(len(targets))
        likely = self.logits[rows, targets] - self.log_total[rows]
        return -float(np.sum(likely, dtype=np.float64))

    def divergence(self, other: Softmax) -> npt.NDArray[np.float32]:
        """Kullback-Leibler divergence of `other` from this, in nats for each token."""
        difference = self.logits - other.logits
        difference -= (self.log_total - other.log_total)[:, None]
        divergence: npt.NDArray[np.float32] = (
            np.einsum("tv,tv->t", self.weights, difference) / self.total
        )
        return divergence


def _exp(nats: float) -> float:
    """Infinity where a float ends: the weights may be nonsense."""
    return math.exp(nats) if nats < 709 else math.inf


def _windows(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _logits(
    generator: Generator, ids: Sequence[int]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """The ids that follow, and the logits [tokens, vocab] that predict them, for all of `ids`.

    The last logits predict nothing: there is one target less.
    """
    sequence = generator.session.start(len(ids))
    for start in range(0, len(ids), _FED):
        logits = sequence.feed(ids[start : start + _FED], keep=0)
        for row in range(0, len(logits), _ROWS):
            first = start + row + 1
            yield np.array(ids[first : first + _ROWS], np.int64), logits[row : row + _ROWS]
