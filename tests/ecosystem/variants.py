"""What is loaded elsewhere, and what our runtime computes for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpt2_edge import Generator

NEW_TOKENS = 40
# The same float32 operations in the same order: measured 0 here for every package and loader. If
# a later ONNX Runtime changes the order in one of them, quantized packages may differ by a
# rounding step, which is up to 0.3 of a logit, and this says so.
CLOSE = 1e-4


@dataclass(frozen=True)
class Variant:
    """What to export: flavour, recipe and cache; and whether as a GPT-Neo, with windows."""

    flavour: str
    recipe: str
    cache_dtype: str = "float32"
    neo: bool = False

    def __str__(self) -> str:
        cache = "" if self.cache_dtype == "float32" else f"-{self.cache_dtype}-cache"
        return f"{self.flavour}-{self.recipe}{cache}{'-gpt-neo' if self.neo else ''}"


VARIANTS = (
    *(Variant("fused", recipe) for recipe in ("fp32", "int8", "int8-row", "int4")),
    *(Variant("fused", "int4", cache) for cache in ("float16", "int8")),
    *(Variant("portable", recipe) for recipe in ("fp32", "int8", "int4")),
    *(Variant(flavour, "fp32", neo=True) for flavour in ("fused", "portable")),
)


@dataclass(frozen=True)
class Prompt:
    """A text and its token ids."""

    text: str
    ids: list[int]


@dataclass(frozen=True)
class Continuation:
    """Greedy tokens, and the logits [tokens, vocab] that each was chosen from."""

    tokens: list[int]
    logits: np.ndarray


def continuation(
    generator: Generator, steps: Sequence[Sequence[int]], count: int = NEW_TOKENS
) -> Continuation:
    """Our runtime: `steps`, the ids of each fed together, then `count` greedy tokens."""
    sequence = generator.session.start(sum(map(len, steps)) + count)
    for step in steps:
        logits = np.array(sequence.feed(step)[-1])
    tokens, rows = [], []
    for _ in range(count):
        rows.append(logits)
        tokens.append(int(logits.argmax()))
        logits = np.array(sequence.feed(tokens[-1:])[-1])
    return Continuation(tokens, np.stack(rows))


def assert_same(tokens: Sequence[int], logits: np.ndarray, expected: Continuation) -> None:
    """Compare logits first: they say more than a token that differs."""
    apart = np.abs(logits - expected.logits).max(-1)
    first = int(np.argmax(apart > CLOSE))
    assert apart.max() <= CLOSE, (
        f"the logits of token {first} are {apart[first]:g} apart, in all up to {apart.max():g}"
    )
    assert list(tokens) == expected.tokens
