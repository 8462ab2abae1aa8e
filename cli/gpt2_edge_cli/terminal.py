"""What a person sees: text that cannot steer the terminal, dim text, JSON on one line."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import unicodedata
from typing import Any

from gpt2_edge_cli.streams import is_terminal

_DIM, _PLAIN = "\x1b[2m", "\x1b[22m"
# Control characters but for newline and tab, and those that change the direction of what follows.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_BLOCKS = " ▏▎▍▌▋▊▉"


class Screen:
    """Standard output, for a person where it is a terminal and for programs elsewhere."""

    def __init__(self) -> None:
        self.is_terminal = is_terminal(sys.stdout)
        # https://no-color.org: any value but an empty one.
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        knows_escapes = os.name != "nt" or "WT_SESSION" in os.environ
        self.is_styled = self.is_terminal and not plain and knows_escapes

    def write(self, text: str, dim: bool = False) -> None:
        """Show `text` at once. Programs get it as it is."""
        shown = without_steering(text) if self.is_terminal else text
        if dim and self.is_styled:
            shown = f"{_DIM}{shown}{_PLAIN}"
        sys.stdout.write(shown)
        sys.stdout.flush()

    def bar(self, share: float, width: int) -> str:
        """A bar of `share` (0 to 1) of `width` columns; empty where nobody would see it."""
        if not self.is_styled:
            return ""
        eighths = round(8 * width * min(max(share, 0.0), 1.0))
        bar = "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()
        try:
            bar.encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            bar = "#" * round(eighths / 8)
        return f"{bar:<{width}}"


def without_steering(text: str) -> str:
    r"""`text` with the characters that could steer a terminal as escapes; \n and \t stay."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible(text: str) -> str:
    """The token on one line, quoted so that its leading space shows; no control characters."""
    return '"' + repr(text)[1:-1].replace("\\'", "'") + '"'


def json_line(value: Any) -> str:
    """`value` as JSON on one line: letters as they are, what is not printable as escapes.

    JSON has no infinity and no NaN; they become null.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def counted(number: int, noun: str) -> str:
    """1 token, 2,048 tokens."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes, which has no control characters."""
    return sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, with an ellipsis where something is missing."""
    if columns(text) <= width:
        return text
    return _begun(text, width - 1) + "…"


def wrapped(text: str, width: int) -> list[str]:
    """The lines of `text`, each of at most `width` columns."""
    lines = []
    for line in text.split("\n"):
        rest = line
        while columns(rest) > width:
            first = _begun(rest, width) or rest[0]
            lines.append(first)
            rest = rest[len(first) :]
        lines.append(rest)
    return lines


def _begun(text: str, width: int) -> str:
    """As much of the beginning of `text` as `width` columns hold."""
    taken = 0
    for number, character in enumerate(text):
        taken += _width(character)
        if taken > width:
            return text[:number]
    return text


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
