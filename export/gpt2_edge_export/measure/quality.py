"""How far a package's predictions are from those of another, on a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge.generate import Generator
from gpt2_edge_export.calibrate.rows import in_parts
from gpt2_edge_export.measure.reference import FloatModel

Floats = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Count = Callable[[float], object]

_FED = 256  # positions whose logits exist at one time: 50 MB for each model
# Of the time that a token takes with a FloatModel, what its layers take, which all run first.
_LAYERS_SHARE = 0.35


@dataclass(frozen=True)
class Quality:
    """Figures over `tokens` predictions.

    perplexity: of the candidate on the text; reference_perplexity: of the reference. mean_kl and
    p99_kl: Kullback-Leibler divergence of the candidate from the reference in nats per token, its
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
    reference: Generator | FloatModel,
    candidate: Generator,
    ids: Sequence[int],
    count: Count = lambda tokens: None,
) -> Quality:
    """Compare two models of one vocabulary on the text `ids`, in windows of the context length.

    Windows do not overlap, and the first token of each is not predicted. `count` is told of every
    few tokens that are done, or of parts of them. Raises ExportError for fewer than two ids or
    models of different vocabularies.
    """
    sizes = [_sizes(model) for model in (reference, candidate)]
    if len(ids) < 2 or sizes[0][0] != sizes[1][0]:
        raise ExportError("comparing needs two tokens or more, and packages of one vocabulary")
    windows = list(_windows(ids, min(context for _, context in sizes)))
    left = 1.0
    if isinstance(reference, FloatModel):
        left -= _LAYERS_SHARE
        expected = reference.logits(
            windows, _FED, lambda share: count(share * len(windows[0]) * _LAYERS_SHARE)
        )
    else:
        expected = _logits(reference, windows)
    compared: list[_Compared] = []
    chunks = zip(_targets(windows), expected, _logits(candidate, windows), strict=True)
    for targets, p, q in chunks:
        compared += _compare(targets, p, q)
        count(left * len(p))
    predicted = len(ids) - len(windows)
    divergence = np.concatenate([part.divergence for part in compared]).astype(np.float64)
    return Quality(
        tokens=len(ids),
        perplexity=_exp(sum(part.loss for part in compared) / predicted),
        reference_perplexity=_exp(sum(part.reference_loss for part in compared) / predicted),
        mean_kl=float(np.mean(divergence)),
        p99_kl=float(np.quantile(divergence, 0.99)),
        top1=sum(part.same for part in compared) / len(ids),
    )


def perplexity(
    generator: Generator, ids: Sequence[int], count: Count = lambda tokens: None
) -> float:
    """Perplexity of the text `ids` as `compare` computes it."""
    windows = list(_windows(ids, generator.manifest.architecture.context_length))
    loss = 0.0
    for targets, logits in zip(_targets(windows), _logits(generator, windows), strict=True):

        def part_loss(rows: slice, targets: Targets = targets, logits: Floats = logits) -> float:
            return Softmax(logits[rows]).loss(targets[rows])

        loss += sum(in_parts(part_loss, *logits.shape))
        count(len(logits))
    return _exp(loss / (len(ids) - len(windows)))


class _Compared(NamedTuple):
    """Some positions: the sums of -log p of what follows, divergences, equal likeliest tokens."""

    reference_loss: float
    loss: float
    divergence: Floats
    same: int


def _compare(targets: Targets, expected: Floats, actual: Floats) -> list[_Compared]:
    """Two models at the same positions: logits [tokens, vocab] each."""

    def part(rows: slice) -> _Compared:
        p, q = Softmax(expected[rows]), Softmax(actual[rows])
        following = targets[rows]
        same = int(np.sum(p.likeliest == q.likeliest))
        return _Compared(p.loss(following), q.loss(following), p.divergence(q), same)

    return in_parts(part, *expected.shape)


class Softmax:
    """Probabilities of logits [tokens, vocab] in float32, without more passes than needed."""

    def __init__(self, logits: Floats) -> None:
        self.logits = logits
        self.likeliest = np.argmax(logits, -1)
        largest = logits[np.arange(len(logits)), self.likeliest]
        self.weights = logits - largest[:, None]
        np.exp(self.weights, out=self.weights)
        self.total = np.sum(self.weights, -1)
        self.log_total = largest + np.log(self.total)

    def loss(self, targets: Targets) -> float:
        """Sum of -log p of the first tokens' `targets`."""
        rows = np.arange(len(targets))
        likely = self.logits[rows, targets] - self.log_total[rows]
        return -float(np.sum(likely, dtype=np.float64))

    def divergence(self, other: Softmax) -> Floats:
        """Kullback-Leibler divergence of `other` from this, in nats for each token."""
        difference = self.logits - other.logits
        difference -= (self.log_total - other.log_total)[:, None]
        divergence: Floats = np.einsum("tv,tv->t", self.weights, difference) / self.total
        return divergence


def _exp(nats: float) -> float:
    """Infinity where a float ends: the weights may be nonsense."""
    return math.exp(nats) if nats < 709 else math.inf


def _sizes(model: Generator | FloatModel) -> tuple[int, int]:
    """Vocabulary and context length."""
    if isinstance(model, FloatModel):
        return model.vocab_size, model.context_length
    architecture = model.manifest.architecture
    return architecture.vocab_size, architecture.context_length


def _windows(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _targets(windows: Sequence[Sequence[int]]) -> Iterator[Targets]:
    """The ids that follow on those of each chunk; the last of a window is followed by none."""
    for window in windows:
        for start in range(0, len(window), _FED):
            yield np.array(window[start + 1 : start + 1 + _FED], np.int64)


def _logits(generator: Generator, windows: Sequence[Sequence[int]]) -> Iterator[Floats]:
    """Logits [at most _FED, vocab] for all tokens of each window in turn."""
    for window in windows:
        sequence = generator.session.start(len(window))
        for start in range(0, len(window), _FED):
            yield sequence.feed(window[start : start + _FED], keep=0)
