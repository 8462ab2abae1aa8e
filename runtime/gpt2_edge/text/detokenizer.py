"""Ids to text one at a time, for each kind of decoder that a tokenizer.json may have.

What a stream of ids gives is, put together, exactly what the tokenizers library makes of all of
them: the steps of the file's decoder are carried out on pieces here, holding back what later
tokens could still change. A decoder with a step that cannot be carried out on pieces gives its
text at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gpt2_edge.text.decoder_chain import step_of
from gpt2_edge.text.decoder_steps import ByteLevel, Chain, JoinWithSpaces, Step
from gpt2_edge.text.tokenizer_parts import steps


class DetokenizerStream(Protocol):
    """`push` returns the text that became certain, never half a character; `finish` the rest."""

    def push(self, token_id: int) -> str: ...

    def finish(self) -> str: ...


# The token of an id; None for special tokens, which are no text, and for ids without a token.
TokenOf = Callable[[int], "str | None"]


def stream_maker(
    decoder: dict[str, Any], token_of: TokenOf, decode: Callable[[list[int]], str]
) -> Callable[[], DetokenizerStream]:
    """What makes streams for `decoder`, the object of tokenizer.json; {} where it has none.

    decode: the library's way for whole texts.
    """
    if decoder.get("type") == "ByteLevel":
        return lambda: _ByteLevelStream(token_of)
    if not decoder:
        return lambda: _SteppedStream(token_of, [JoinWithSpaces()])
    states = list(steps(decoder))
    if _steps_of(states) is None:
        return lambda: _AtTheEnd(decode)
    return lambda: _SteppedStream(token_of, _steps_of(states) or [])


def _steps_of(states: Sequence[dict[str, Any]]) -> list[Step] | None:
    made: list[Step] = []
    whole = False  # whether the steps before make one token of all
    for state in states:
        step = step_of(state, whole)
        if step is None:
            return None
        made.append(step)
        whole = whole or step.fuses
    return made


class _ByteLevelStream:
    """GPT-2's own byte-level BPE: every token is bytes, put together as UTF-8."""

    def __init__(self, token_of: TokenOf) -> None:
        self._token_of = token_of
        self._step = ByteLevel()

    def push(self, token_id: int) -> str:
        token = self._token_of(token_id)
        return "" if token is None else self._step.text(token)

    def finish(self) -> str:
        return "".join(self._step.finish())


class _SteppedStream:
    """Any decoder whose steps can be carried out on pieces."""

    def __init__(self, token_of: TokenOf, made: Sequence[Step]) -> None:
        self._token_of = token_of
        self._chain = Chain(made)

    def push(self, token_id: int) -> str:
        token = self._token_of(token_id)
        return "" if token is None else "".join(self._chain.push(token))

    def finish(self) -> str:
        return "".join(self._chain.finish())


class _AtTheEnd:
    """A decoder that has to see all tokens before it is sure of any."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        return ""

    def finish(self) -> str:
        ids, self._ids = self._ids, []
        return self._decode(ids) if ids else ""
