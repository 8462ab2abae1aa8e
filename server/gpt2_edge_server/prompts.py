"""Prompts as token ids, and tokens as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.model import Model
from gpt2_edge.prompts import check_vocabulary
from gpt2_edge_server.errors import refused


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids.

    ranges: for each of them what it stands for in the text, [start, end) in UTF-16 code units;
    None for a prompt of ids. dropped: code units at the text's beginning (of ids: ids) that are not
    used.
    """

    ids: list[int]
    ranges: list[tuple[int, int]] | None
    dropped: int = 0

    def last(self, count: int) -> Encoded:
        """The last `count` tokens of it, where it has more; of a text, whole characters."""
        if len(self.ids) <= count:
            return self
        cut = len(self.ids) - count
        if self.ranges is None:
            return Encoded(self.ids[cut:], None, self.dropped + cut)
        whole = cut
        while whole < len(self.ids) and self.ranges[whole][0] < self.ranges[cut - 1][1]:
            whole += 1
        cut = whole if whole < len(self.ids) else cut
        ranges = self.ranges[cut:]
        return Encoded(self.ids[cut:], ranges, ranges[0][0])


def encoded(model: Model, prompt: str | Sequence[int], parse_special: bool) -> Encoded:
    """`prompt` as token ids, however many; an empty one has none.

    Raises GenerationError for ids outside the vocabulary, and for text without a tokenizer.
    """
    if not isinstance(prompt, str):
        return Encoded(check_vocabulary(list(prompt), model.vocab_size), None)
    if model.tokenizer is None:
        raise GenerationError("this model has no tokenizer; send the prompt as token ids")
    ids, ranges = model.tokenizer.encode_with_ranges(prompt, parse_special=parse_special)
    check_vocabulary(ids, model.vocab_size)
    if not prompt.isascii():
        at = _code_units(prompt)
        ranges = [(at[start], at[end]) for start, end in ranges]
    return Encoded(ids, ranges)


def begun(model: Model, prompt: Encoded) -> Encoded:
    """`prompt`; an empty one becomes the token that begins texts, as at OpenAI.

    Raises ApiError where the package names no such token.
    """
    if prompt.ids:
        return prompt
    manifest = model.manifest
    begins = (manifest.bos_token_id, *manifest.eos_token_ids)
    first = next((token for token in begins if token is not None), None)
    if first is None:
        raise refused("the prompt is empty; give one token at least", "prompt")
    return Encoded([first], None if prompt.ranges is None else [(0, 0)])


def token_records(model: Model, prompt: Encoded) -> list[dict[str, Any]]:
    """Each token of `prompt` with its id, its text and its range."""
    nowhere: tuple[int | None, int | None] = (None, None)
    ranges = [nowhere] * len(prompt.ids) if prompt.ranges is None else prompt.ranges
    return [
        {"id": token, "text": model.token_label(token), "start": start, "end": end}
        for token, (start, end) in zip(prompt.ids, ranges, strict=True)
    ]


def _code_units(text: str) -> list[int]:
    """For each place of `text`, in characters, how many UTF-16 code units are before it."""
    at = [0]
    for character in text:
        at.append(at[-1] + 1 + (ord(character) > 0xFFFF))
    return at
