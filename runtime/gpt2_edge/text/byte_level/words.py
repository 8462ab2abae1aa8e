r"""Text to words, as GPT-2's pattern has it (encoder.py of its release).

`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, in which Python's
`re` knows no `\p{L}`, and takes four control characters for white space more than `\s` here does.
unicodedata knows another Unicode version in each Python; so the classes are tables of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from gpt2_edge.text.byte_level import unicode_classes


@cache
def word_pattern() -> re.Pattern[str]:
    """Matches one word after another: all of a text."""
    letter = character_class(unicode_classes.LETTERS)
    number = character_class(unicode_classes.NUMBERS)
    space = character_class(unicode_classes.WHITE_SPACE)
    return re.compile(
        f"'(?:[stmd]|re|ve|ll)| ?[{letter}]+| ?[{number}]+| ?[^{space}{letter}{number}]+"
        f"|[{space}]+(?![^{space}])|[{space}]+"
    )


def character_class(ranges: str) -> str:
    """What stands between the brackets of a regular expression for `ranges`, such as "41-5a aa"."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _bounds(ranges))


def _bounds(ranges: str) -> Iterator[tuple[int, int]]:
    for item in ranges.split(" "):
        first, _, last = item.partition("-")
        yield int(first, 16), int(last or first, 16)


WHITE_SPACE = frozenset(
    chr(point)
    for first, last in _bounds(unicode_classes.WHITE_SPACE)
    for point in range(first, last + 1)
)
