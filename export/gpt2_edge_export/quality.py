"""How far a package's predictions are from those of another, on a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge.generate import Generator


@dataclass(frozen=True)
class Quality:
    """Figures over `tokens` predictions.

    perplexity: of the candidate on the text; reference_perplexity: of the reference. mean_kl:
    Kullback-Leibler divergence of the candidate from the reference in nats a token. top1: share
    of positions at which both find the same token most likely.
    """

    tokens: int
    perplexity: float
    reference_perplexity: float
    mean_kl: float
    top1: float


def compare(reference: Generator, candidate: Generator, ids: Sequence[int]) -> Quality:
    """Compare two packages of one vocabulary on the text `ids`, in windows of the context length.

    Windows do not overlap, and the first token of each is not predicted. Raises ExportError for
    fewer than two ids or packages of different vocabularies.
    """
    sizes = {g.manifest.architecture.vocab_size for g in (reference, candidate)}
    if len(ids) < 2 or len(sizes) > 1:
        raise ExportError("comparing needs two tokens or more, and packages of one vocabulary")
    window = min(
        generator.manifest.architecture.context_length for generator in (reference, candidate)
    )
    tokens, kl, top1, loss, reference_loss = 0, 0.0, 0, 0.0, 0.0
    for part in _windows(ids, window):
        p, q = (_log_softmax(generator.logits(part)) for generator in (reference, candidate))
        kl += float((np.exp(p) * (p - q)).sum())
        top1 += int((p.argmax(-1) == q.argmax(-1)).sum())
        targets = np.asarray(part[1:])
        at = np.arange(len(targets))
        reference_loss -= float(p[at, targets].sum())
        loss -= float(q[at, targets].sum())
        tokens += len(part)
    predicted = tokens - math.ceil(len(ids) / window)
    return Quality(
        tokens=tokens,
        perplexity=math.exp(loss / predicted),
        reference_perplexity=math.exp(reference_loss / predicted),
        mean_kl=kl / tokens,
        top1=top1 / tokens,
    )


def _windows(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(-1, keepdims=True))
    return wide
