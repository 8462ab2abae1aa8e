"""How likely the tokens of a prompt are, each with the likeliest alternatives to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpt2_edge.generate import Generator
from gpt2_edge.measure.predictions import predictions
from gpt2_edge.sampling import largest, log_probabilities
from gpt2_edge_server.pool import GaveUp, Gone


@dataclass(frozen=True)
class Predicted:
    """How a token was predicted: natural logarithms, rank 1 for the most likely token."""

    logprob: float
    rank: int
    alternatives: tuple[tuple[int, float], ...]


def predicted(
    generator: Generator, ids: Sequence[int], alternatives: int, gone: Gone
) -> list[Predicted]:
    """Each of ids[1:], given those before it; `ids` may be one more than the context holds.

    Raises GaveUp as soon as `gone` says that nobody waits.
    """
    if len(ids) < 2:
        return []
    found = []
    sequence = generator.session.start(len(ids) - 1)
    for token, logits in predictions(sequence, list(ids), 1):
        if gone():
            raise GaveUp
        above = np.count_nonzero(logits > logits[token])
        before = np.count_nonzero(logits[:token] == logits[token])
        logprobs = log_probabilities(logits)
        best = largest(logits, alternatives) if alternatives else ()
        found.append(
            Predicted(
                float(logprobs[token]),
                int(above + before) + 1,
                tuple((int(other), float(logprobs[other])) for other in best),
            )
        )
    return found
