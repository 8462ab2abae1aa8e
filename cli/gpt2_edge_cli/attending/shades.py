"""Shares as shades of a colour; where there are no colours, as block characters."""

from __future__ import annotations

import math
import sys

from gpt2_edge_cli.terminal import Screen

_PLAIN = "\x1b[0m"
_CHOSEN = "\x1b[1;4m"  # bold and underlined
# Background and letters, of the 256 colours: white to dark blue, on which letters can be read
# whatever colours the terminal has of its own.
_COLOURS = [(231, 16), (195, 16), (153, 16), (111, 16), (69, 16), (26, 231), (18, 231)]
_BLOCKS = " ▁▂▃▄▅▆▇█"
_DIGITS = " 12345678"


class Shades:
    """How a share (0 to 1) is shown on `screen`; the roots of shares, so that small ones show."""

    def __init__(self, screen: Screen) -> None:
        self.are_colours = screen.is_styled
        self._blocks = _BLOCKS
        try:
            _BLOCKS.encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            self._blocks = _DIGITS

    def token(self, text: str, share: float, chosen: bool = False) -> str:
        """A token in its shade, or behind its block; `text` has nothing that could steer."""
        if not self.are_colours:
            word = text.lstrip(" ")
            space = " " * (len(text) - len(word))
            block = self._blocks[_level(share, 9)].strip()
            return f"{space}{block}[{word}]" if chosen else f"{space}{block}{word}"
        background, letters = _COLOURS[_level(share, len(_COLOURS))]
        mark = _CHOSEN if chosen else ""
        return f"{mark}\x1b[48;5;{background};38;5;{letters}m{text}{_PLAIN}"

    def cell(self, share: float, width: int) -> str:
        """A cell of a table."""
        if not self.are_colours:
            return self._blocks[_level(share, 9)] * width
        background, _ = _COLOURS[_level(share, len(_COLOURS))]
        return f"\x1b[48;5;{background}m{' ' * width}{_PLAIN}"


def _level(share: float, levels: int) -> int:
    """0 for next to nothing; the others in steps of the root."""
    return min(round(math.sqrt(max(share, 0.0)) * (levels - 1)), levels - 1)
