"""Write UnicodeClasses.kt: which characters are letters, numbers, white space and word characters.

python android_demo/core/src/test/python/make_unicode_classes.py

Android's and the JDK's Character classes know another Unicode version on every release, and their
regular expressions take white space differently. So the Kotlin tokenizer carries the classes
itself, and they are taken here from the library that it must agree with, one code point at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

FILE = (
    Path(__file__).resolve().parents[2]
    / "main"
    / "kotlin"
    / "dev"
    / "gpt2edge"
    / "UnicodeClasses.kt"
)
CODE_POINTS = [*range(0xD800), *range(0xE000, 0x110000)]  # surrogates are no characters
_WIDTH = 96


def classes() -> dict[str, list[tuple[int, int]]]:
    """The ranges (first, last) of each class."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)

    def joins(sample: str) -> Callable[[int], bool]:
        # GPT-2's pattern keeps a run of letters, of numbers or of other characters together.
        return lambda point: len(byte_level.pre_tokenize_str(sample + chr(point))) == 1

    letters = list(filter(joins("a"), CODE_POINTS))
    numbers = list(filter(joins("1"), CODE_POINTS))
    others = set(filter(joins("."), CODE_POINTS))
    spaces = sorted(set(CODE_POINTS) - {*letters, *numbers} - others)
    return {
        "LETTERS": list(ranges(letters)),
        "NUMBERS": list(ranges(numbers)),
        "WHITE_SPACE": list(ranges(spaces)),
        "WORD": list(ranges(filter(_is_word(), CODE_POINTS))),
    }


def stripped_spaces() -> list[tuple[int, int]]:
    """What an added token with rstrip swallows."""
    library = Tokenizer(models.BPE())
    library.add_tokens([AddedToken("a", rstrip=True, normalized=False)])
    return list(ranges(p for p in CODE_POINTS if library.encode("a" + chr(p)).offsets == [(0, 2)]))


def _is_word() -> Callable[[int], bool]:
    """What an added token with single_word may not stand beside."""
    library = Tokenizer(models.BPE())
    library.add_tokens([AddedToken("a", single_word=True, normalized=False)])
    return lambda point: not library.encode("a" + chr(point)).ids


def ranges(points: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = -2
    for point in points:
        if point == last + 1:
            last = point
            continue
        if first >= 0:
            yield first, last
        first = last = point
    if first >= 0:
        yield first, last


def as_text(found: Iterable[tuple[int, int]]) -> str:
    """Hexadecimal, "41-5a aa": what UnicodeClasses.kt holds."""
    return " ".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in found)


def kotlin(found: dict[str, list[tuple[int, int]]]) -> str:
    lines = [
        "package dev.gpt2edge",
        "",
        "// Written by src/test/python/make_unicode_classes.py from Hugging Face tokenizers "
        f"{tokenizers.__version__};",
        "// tests compare it with the library again. Ranges of code points, hexadecimal.",
        "internal object UnicodeClasses {",
    ]
    for name, its_ranges in found.items():
        lines.append(f"    const val {name} =")
        row = ""
        rows = []
        for item in as_text(its_ranges).split(" "):
            if len(row) + len(item) > _WIDTH:
                rows.append(row)
                row = ""
            row += item + " "
        rows.append(row.rstrip())
        lines += [f'        "{row}"' + (" +" if row is not rows[-1] else "") for row in rows]
    return "\n".join([*lines, "}", ""])


def main() -> None:
    found = classes()
    assert stripped_spaces() == found["WHITE_SPACE"]
    FILE.write_text(kotlin(found), encoding="utf-8")


if __name__ == "__main__":
    main()
