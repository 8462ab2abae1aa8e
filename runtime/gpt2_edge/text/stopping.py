"""Ending a text at a stop string, without showing any part of the string first."""

from __future__ import annotations


class StopStrings:
    """Passes text on, but holds back an end that may become one of `strings`.

    include: the string that ends the text is part of it.
    """

    def __init__(self, strings: tuple[str, ...], include: bool = False) -> None:
        self._strings, self._include = strings, include
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """What of the text so far may be shown; sets `found` where a stop string is complete."""
        if not self._strings:
            return piece
        text = self._held + piece
        found = [
            (start, start + len(string) * self._include)
            for string in self._strings
            if (start := text.find(string)) >= 0
        ]
        if found:  # the first; of two that begin there, the shorter
            self.found = True
            self._held = ""
            return text[: min(found)[1]]
        held = max(_overlap(text, string) for string in self._strings)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """The text still held back, which turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, string: str) -> int:
    """Length of the longest end of `text` that is a beginning of `string`."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if string.startswith(text[-n:])), 0)
