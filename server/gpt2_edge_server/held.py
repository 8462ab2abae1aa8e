"""What answers hold until their readers have them: a bound for each, and for all together.

A text gives its place in the queue back when it is over, but it stays in memory until it is sent,
and readers may be slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gpt2_edge_server.errors import busy, refused

# Entries: log-probabilities, each about 100 bytes in memory and 40 in an answer.
MOST_ENTRIES = 1 << 18
_BYTES = 40
_FREE = 1 << 10  # entries of each answer that do not count: small ones are never refused
_EACH_PLACE = 1 << 15
_PLAIN = 8  # tokens without any that are counted as one entry


class Held:
    """The entries of all answers that are under way.

    places: how many texts may be; body: the most bytes of a request.
    """

    def __init__(self, places: int, body: int) -> None:
        self._most = max(12 * MOST_ENTRIES, places * _EACH_PLACE, 4 * body)
        self.taken = 0
        self.answers = 0  # how many are under way

    @contextmanager
    def texts(self, tokens: int, logprobs: int | None, body: int) -> Iterator[None]:
        """Memory for `tokens` of an answer while the block runs, on the event loop.

        logprobs: alternatives to each token; None for no log-probabilities. body: bytes of the
        request. Raises ApiError where there is none: 400 if it is too much for one answer, 429 if
        it is too much now.
        """
        entries = tokens // _PLAIN if logprobs is None else tokens * (1 + logprobs)
        if entries > MOST_ENTRIES:
            raise _too_large(tokens, logprobs)
        # Of each byte may come a number in a list, and again as a token.
        with self.bytes(_BYTES * (entries + body // 2)):
            yield

    @contextmanager
    def bytes(self, size: int) -> Iterator[None]:
        """Memory for an answer of `size` bytes while the block runs; ApiError (429) for none."""
        entries = max(0, size // _BYTES - _FREE)
        if self.taken + entries > self._most:
            raise busy("too many large answers are under way; try again later")
        self.taken += entries
        self.answers += 1
        try:
            yield
        finally:
            self.taken -= entries
            self.answers -= 1


def _too_large(tokens: int, logprobs: int | None) -> Exception:
    if logprobs is None:
        return refused(
            f"the texts of this answer could have {tokens:,} tokens; {MOST_ENTRIES * _PLAIN:,} is "
            "the most: lower max_tokens or n, or send fewer prompts at once",
            "max_tokens",
        )
    return refused(
        f"this answer could have {tokens * (1 + logprobs):,} log-probabilities, of {tokens:,} "
        f"tokens and their alternatives; {MOST_ENTRIES:,} is the most: lower logprobs, max_tokens "
        "or n, or send fewer prompts at once",
        "logprobs",
    )
