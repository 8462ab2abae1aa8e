"""The parts of a tokenizer.json, whoever reads it: their steps, and what no file may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpt2_edge.untrusted import UnreadableError

# Added tokens are compared with each other as they are read: a file of a million takes hours.
_MOST_OBJECTS = 20_000
# How many times longer a text may become by the replacements of a file.
_MOST_GROWTH = 100


def steps(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a part, one after another, however its sequences are nested."""
    if part.get("type") != "Sequence":
        if part:
            yield part
        return
    for name in ("normalizers", "pretokenizers", "processors", "decoders"):
        for inner in part.get(name) or ():
            yield from steps(inner)


def check_objects(content: bytes) -> None:
    """Raise UnreadableError for a tokenizer.json of too many objects, which nobody has read yet."""
    if content.count(b"{") > _MOST_OBJECTS:
        raise UnreadableError(f"it has more than {_MOST_OBJECTS:,} added tokens or other objects")


def check_growth(part: dict[str, Any]) -> None:
    """Raise UnreadableError for replacements that make of a short text one that fills memory."""
    growth = 1.0
    for step in steps(part):
        if step.get("type") == "Replace":
            pattern = (step.get("pattern") or {}).get("String") or " "
            growth *= max(1.0, len(step.get("content") or "") / len(pattern))
        if growth > _MOST_GROWTH:
            raise UnreadableError(
                f"its replacements make a text more than {_MOST_GROWTH} times as long"
            )
