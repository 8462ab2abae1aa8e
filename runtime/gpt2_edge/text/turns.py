"""A conversation as tokens: what was said, what was answered, and where one turn ends.

Answers stay the tokens that were written, which their text need not encode to: so the tokens of a
turn are those of the turns before it and its own, and a cache reads only those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gpt2_edge.errors import GenerationError
from gpt2_edge.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Turn:
    """What was said, and the tokens and the text of the answer."""

    message: str
    answer_ids: tuple[int, ...]
    answer: str


class Turns(Protocol):
    """How turns are put together. end_ids: tokens that end an answer, beside the package's."""

    @property
    def kind(self) -> str: ...

    @property
    def end_ids(self) -> tuple[int, ...]: ...

    def tokens(self, turns: Sequence[Turn], message: str) -> list[int]:
        """The prompt for the answer to `message`, behind `turns`.

        Special tokens written out in a message are ordinary text unless these turns were made with
        parse_special. Raises GenerationError where
        there is nothing to continue, and PackageError for a tokenizer or template that fails.
        """
        ...


class EosTurns:
    """DialoGPT's (Zhang et al. 2020): whatever is said ends with the end-of-text token."""

    kind = "eos"

    def __init__(self, tokenizer: Tokenizer, eos_id: int, parse_special: bool = False) -> None:
        self._tokenizer, self._eos_id, self._special = tokenizer, eos_id, parse_special
        self.end_ids = (eos_id,)

    def tokens(self, turns: Sequence[Turn], message: str) -> list[int]:
        """See Turns."""
        if not message:
            raise GenerationError("there is nothing to answer; type a text")
        ids: list[int] = []
        for turn in turns:
            ids += [*self._encode(turn.message), self._eos_id, *turn.answer_ids]
            if ids[-1] != self._eos_id:  # the answer was cut short
                ids.append(self._eos_id)
        return [*ids, *self._encode(message), self._eos_id]

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False, parse_special=self._special)


class PlainTurns:
    """One text that both write: what is said begins a new line, and is continued.

    An empty message goes on where the last answer ended.
    """

    kind = "plain"
    end_ids = ()

    def __init__(
        self, tokenizer: Tokenizer, eos_ids: Sequence[int], parse_special: bool = False
    ) -> None:
        self._tokenizer, self._eos_ids, self._special = tokenizer, eos_ids, parse_special

    def tokens(self, turns: Sequence[Turn], message: str) -> list[int]:
        """See Turns."""
        ids: list[int] = []
        for turn in turns:
            ids += self._behind(ids, turn.message)
            ended = turn.answer_ids and turn.answer_ids[-1] in self._eos_ids
            ids += turn.answer_ids[:-1] if ended else turn.answer_ids
        ids += self._behind(ids, message)
        if not ids:
            raise GenerationError("there is nothing to continue; type a text")
        return ids

    def _behind(self, ids: list[int], message: str) -> list[int]:
        """The tokens of `message` behind `ids`."""
        if not message:
            return []
        special = self._special
        if not ids:
            return self._tokenizer.encode(message, parse_special=special)
        return self._tokenizer.encode(
            f"\n{message}", add_special_tokens=False, parse_special=special
        )
