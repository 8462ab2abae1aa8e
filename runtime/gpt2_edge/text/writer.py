"""Tokens as text, given out as it becomes certain, up to a stop string."""

from __future__ import annotations

from gpt2_edge.text.stopping import StopStrings
from gpt2_edge.text.tokenizer import Tokenizer


class TextWriter:
    """Text of tokens that come one by one: never half a character, nor part of a stop string."""

    def __init__(
        self, tokenizer: Tokenizer, stop_strings: tuple[str, ...] = (), include: bool = False
    ) -> None:
        self._detokenizer = tokenizer.stream()
        self._stops = StopStrings(stop_strings, include)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the text."""
        return self._stops.found

    def push(self, token_id: int) -> str:
        """The text that became certain with this token."""
        return self._stops.push(self._detokenizer.push(token_id))

    def finish(self) -> str:
        """The rest of the text, of which no more tokens come."""
        rest = self._stops.push(self._detokenizer.finish())
        return rest + self._stops.finish()
