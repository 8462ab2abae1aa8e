"""Drafts: guesses at the next tokens, which one run of the graph can confirm together.

A drafter proposes; the decoder keeps what it would have chosen itself (Leviathan et al. 2023), so
drafts change the speed of a text and not its tokens.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

# (tokens of prompt and text so far, how many at most) -> guesses
Drafter = Callable[[Sequence[int], int], list[int]]

_LONGEST, _SHORTEST = 3, 2  # tokens that have to agree
_TOKEN = "q"  # int64, which any token id fits
_WIDTH = array(_TOKEN).itemsize


def prompt_lookup(longest: int = _LONGEST, shortest: int = _SHORTEST) -> Drafter:
    """Guess that what followed the last few tokens earlier in the text follows again.

    Saxena 2023, "Prompt lookup decoding": the latest place where the last `longest` tokens (or
    fewer, down to `shortest`) stood before. Where that place is so near that its continuation runs
    into the end of the text, the text goes round: the guesses go round with it.
    """

    def propose(text: Sequence[int], most: int) -> list[int]:
        data = array(_TOKEN, text).tobytes()
        for size in range(min(longest, len(text) - 1), shortest - 1, -1):
            found = _last_before_end(data, size)
            if found is not None:
                again = text[found:]
                return [again[i % len(again)] for i in range(most)]
        return []

    return propose


def _last_before_end(data: bytes, size: int) -> int | None:
    """Where a text goes on behind the latest earlier place of its last `size` tokens.

    data: the tokens as bytes, in which C looks for them: it is done at every step.
    """
    end = data[-size * _WIDTH :]
    at = data.rfind(end, 0, len(data) - _WIDTH)
    while at % _WIDTH and at > 0:  # across two tokens
        at = data.rfind(end, 0, at + len(end) - 1)
    return at // _WIDTH + size if at >= 0 and at % _WIDTH == 0 else None


class Pace:
    """How many tokens to draft: more while guesses come true, none for a while where they do not.

    Each run with a draft costs more than a plain one, so a text in which nothing repeats has to
    stop asking: after a failed draft the next pause doubles, after a confirmed one it is over.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = min(4, most)
        self._pause = self._wait = 0

    def next(self) -> int:
        """Tokens to draft for the coming run."""
        if self._wait:
            self._wait -= 1
            return 0
        return self._size

    def learn(self, proposed: int, accepted: int) -> None:
        """Take in how a draft of `proposed` tokens went."""
        if accepted * 2 >= proposed:
            self._pause = self._wait = 0
            if accepted == proposed:
                self._size = min(2 * self._size, self._most)
        elif not accepted:
            self._pause = min(2 * self._pause + 4, 64)
            self._wait = self._pause
            self._size = max(self._size // 2, min(2, self._most))
