"""Write UnicodeClasses.kt and unicode_classes.py: letters, numbers, white space, word characters.

python android_demo/core/src/test/python/make_unicode_classes.py

Android's and the JDK's Character classes and Python's unicodedata know another Unicode version on
every release, and their regular expressions take white space differently. So the Kotlin and the
Python tokenizer carry the classes themselves, and they are taken here from the library that both
must agree with, one code point at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

KOTLIN = Path(__file__).resolve().parents[2] / "main/kotlin/dev/gpt2edge/UnicodeClasses.kt"
PYTHON = (
    Path(__file__).resolve().parents[5] / "runtime/gpt2_edge/text/byte_level/unicode_classes.py"
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
    """Hexadecimal, "41-5a aa": what the files hold."""
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
        *rows, last = rows_of(its_ranges, _WIDTH)
        lines += [*(f'        "{row} " +' for row in rows), f'        "{last}"']
    return "\n".join([*lines, "}", ""])


def python(found: dict[str, list[tuple[int, int]]]) -> str:
    lines = [
        '"""Letters, numbers, white space and word characters, as the tokenizers library has them.',
        "",
        "Written by android_demo/core/src/test/python/make_unicode_classes.py from tokenizers",
        f"{tokenizers.__version__} (Unicode 16.0); tests compare it with the library again. Ranges "
        "of code points, hexadecimal.",
        '"""',
    ]
    for name, its_ranges in found.items():
        *rows, last = rows_of(its_ranges, _WIDTH - 3)
        if not rows:
            lines += ["", f'{name} = "{last}"']
            continue
        lines += ["", f"{name} = ("]
        lines += [*(f'    "{row} "' for row in rows), f'    "{last}"', ")"]
    return "\n".join([*lines, ""])


def rows_of(its_ranges: Iterable[tuple[int, int]], width: int) -> list[str]:
    rows = [""]
    for item in as_text(its_ranges).split(" "):
        if len(rows[-1]) + len(item) > width:
            rows.append("")
        rows[-1] += f"{item} "
    return [row.rstrip() for row in rows]


def main() -> None:
    found = classes()
    assert stripped_spaces() == found["WHITE_SPACE"]
    KOTLIN.write_text(kotlin(found), encoding="utf-8")
    PYTHON.write_text(python(found), encoding="utf-8")


if __name__ == "__main__":
    main()
