"""How far a package's predictions are from those of another, on a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge.generate import Generator

# Positions whose logits exist at one time; a multiple of the rows that kernels take together.
_CHUNK = 128


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
        targets = np.array(part[1:])
        at = 0
        chunks = (_log_probabilities(generator, part) for generator in (reference, candidate))
        for p, q in zip(*chunks, strict=True):
            here = targets[at : at + len(p)]
            rows = np.arange(len(here))
            reference_loss -= float(np.sum(p[rows, here], dtype=np.float64))
            loss -= float(np.sum(q[rows, here], dtype=np.float64))
            top1 += int(np.sum(np.argmax(p, -1) == np.argmax(q, -1)))
            at += len(p)
            predicted += len(here)
            q -= p
            np.exp(p, out=p)
            divergences.append(-np.einsum("tv,tv->t", p, q))
            count(len(p))
    divergence = np.concatenate(divergences).astype(np.float64)
    return Quality(
        tokens=len(ids),
        perplexity=math.exp(loss / predicted),
        reference_perplexity=math.exp(reference_loss / predicted),
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
        targets, at = np.array(part[1:]), 0
        for p in _log_probabilities(generator, part):
            here = targets[at : at + len(p)]
            loss -= float(np.sum(p[np.arange(len(here)), here], dtype=np.float64))
            at += len(p)
            predicted += len(here)
            count(len(p))
    return math.exp(loss / predicted)


def _windows(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _log_probabilities(
    generator: Generator, ids: Sequence[int]
) -> Iterator[npt.NDArray[np.float32]]:
    """Natural logarithms of the probabilities after every id, in chunks [_CHUNK, vocab]."""
    sequence = generator.session.start(len(ids))
    for start in range(0, len(ids), _CHUNK):
        logits = np.array(sequence.feed(ids[start : start + _CHUNK], keep=0))
        logits -= np.max(logits, -1, keepdims=True)
        logits -= np.log(np.sum(np.exp(logits), -1, keepdims=True))
        yield logits
