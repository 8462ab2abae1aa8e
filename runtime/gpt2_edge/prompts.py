"""Token ids and texts as callers give them: what is no prompt is told in one line."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Set
from typing import Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown
from gpt2_edge.values import whole_number


def token_ids(value: Any, what: str = "the prompt", takes: str = "text or ") -> list[int]:
    """`value` as a flat list of whole numbers, of whatever size.

    what, takes: for the message, what it is and what else it may be. Raises GenerationError for
    anything but a list, tuple, one-dimensional NumPy array or the like of whole numbers.
    """
    expected = f"give {takes}a flat sequence of token ids (whole numbers)"
    refused = isinstance(value, (str, bytes, bytearray, memoryview, Mapping, Set))
    if refused or not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        raise GenerationError(f"{what} is {_shown(value)}; {expected}")
    dimensions = getattr(value, "ndim", 1)
    if dimensions != 1:
        raise GenerationError(f"{what} has {dimensions} dimensions; {expected}, one prompt a call")
    ids: list[Any]
    if getattr(getattr(value, "dtype", None), "kind", None) in ("i", "u"):
        ids = value.tolist()  # Python's numbers, which are several times faster to look at
    else:
        try:
            # No further than it says that it goes: what has no end would take all memory.
            ids = list(itertools.islice(value, len(value)))
        except TypeError:
            raise GenerationError(f"{what} is {_shown(value)}; {expected}") from None
    if all(type(token_id) is int for token_id in ids):
        return ids
    whole = [whole_number(token_id) for token_id in ids]
    if None in whole:
        position = whole.index(None)
        raise GenerationError(_wrong_item(ids[position], position, what, expected))
    return whole  # type: ignore[return-value]


def check_vocabulary(ids: list[int], size: int) -> list[int]:
    """`ids`, checked to be in a vocabulary of `size` tokens; GenerationError."""
    if ids and not (min(ids) >= 0 and max(ids) < size):
        wrong = next(token_id for token_id in ids if not 0 <= token_id < size)
        raise GenerationError(f"token id {shown(wrong)} is outside the vocabulary of {size}")
    return ids


def require_text(value: Any, what: str = "the text") -> str:
    """`value`, checked to be a string; GenerationError."""
    if not isinstance(value, str):
        raise GenerationError(f"{what} is {_shown(value)}; give a string")
    return value


def _wrong_item(item: Any, position: int, what: str, expected: str) -> str:
    if isinstance(item, str):
        return f"{what} is a list of strings, such as {shown(item)}; {expected}, one prompt a call"
    if hasattr(item, "__len__"):
        return f"{what} is nested, with {shown(item)} in it; {expected}, one prompt a call"
    return f"{what} has {shown(item)} at position {position}; {expected}"


def _shown(value: Any) -> str:
    """A value of the wrong kind, with that kind."""
    return "None" if value is None else f"{shown(value)} ({type(value).__name__})"
