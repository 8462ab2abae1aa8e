"""Penalties, orders of the largest, and what remains of long lists: more than spec/ holds."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from gpt2_edge.sampling import candidates, largest, top_p_truncation

_VOCABULARY = 3000


def vectors(source: random.Random) -> dict[str, Any]:
    return {
        "penalty": [penalty(source) for _ in range(20)],
        "largest": [largest_of(source) for _ in range(40)],
        "candidates": [what_remains(source) for _ in range(40)],
    }


def logits_of(source: random.Random, count: int, steps: int) -> list[float]:
    """Multiples of 1/16, exact in float32 and in JSON; few steps make many equals."""
    return [source.randint(-steps, steps) / 16 for _ in range(count)]


def penalty(source: random.Random) -> dict[str, Any]:
    """As transformers' RepetitionPenaltyLogitsProcessor has it: every token once, in float32."""
    logits = logits_of(source, 40, 100)
    seen = [source.randrange(40) for _ in range(source.randint(1, 30))]
    factor = source.choice([0.5, 1.25, 1.3, 2.0])
    after = np.array(logits, np.float32)
    for token_id in set(seen):
        one = after[token_id]
        after[token_id] = one * np.float32(factor) if one < 0 else one / np.float32(factor)
    return {"logits": logits, "seen": seen, "penalty": factor, "after": after.tolist()}


def largest_of(source: random.Random) -> dict[str, Any]:
    logits = logits_of(source, source.choice([1, 2, 50, 700]), source.choice([3, 40, 4000]))
    k = source.choice([1, 2, 40, len(logits), len(logits) + 5])
    return {"logits": logits, "k": k, "ids": largest(np.array(logits, np.float32), k).tolist()}


def what_remains(source: random.Random) -> dict[str, Any]:
    """Which tokens pass, over lists that the first 1,024 candidates may not exhaust."""
    count = source.choice([5, 300, _VOCABULARY])
    logits = logits_of(source, count, source.choice([8, 40, 4000]))
    temperature = source.choice([0.3, 1.0, 4.0])
    top_k = source.choice([1, 40, count - 1, count])
    top_p = source.choice([0.1, 0.5, 0.83, 0.999])
    kept = candidates(
        np.array(logits, np.float32),
        temperature,
        top_k,
        [top_p_truncation(top_p)] if top_p < 1 else [],
    )
    # A border within a rounding error of top_p may fall on either side.
    clear = abs(kept.cumulative - top_p).min() > 1e-6
    return {
        "logits": logits,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "ids": kept.ids.tolist() if clear else None,
    }
