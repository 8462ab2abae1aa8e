"""Going on past the context: which tokens a window forgets.

GPT-2's positions are absolute, so what moves has to be fed again; the tokens that are kept at the
beginning do not move and stay in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence


def slid(ids: Sequence[int], keep: int) -> list[int]:
    """A full window without the older half of what is behind its first `keep` tokens.

    One token at least has to go, however many are to be kept. spec/decoding.json has examples.
    """
    keep = min(keep, len(ids) - 1)
    return [*ids[:keep], *ids[keep + (len(ids) - keep + 1) // 2 :]]


def fitted(ids: Sequence[int], capacity: int, keep: int) -> list[int]:
    """The first `keep` tokens of a prompt and as many of its last as `capacity` has room for."""
    if len(ids) <= capacity:
        return list(ids)
    keep = min(keep, capacity - 1)
    return [*ids[:keep], *ids[len(ids) - (capacity - keep) :]]
