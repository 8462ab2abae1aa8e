"""Which tokens begin and end a text: decided here for the manifest and for genai_config.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import shown

_DEFAULT = 50256  # of transformers' GPT2Config: <|endoftext|> of the original vocabulary


@dataclass(frozen=True)
class SpecialTokens:
    """Ids that the vocabulary has, and a note where an end of text was named that it has not."""

    bos: int | None
    eos: tuple[int, ...]
    note: str | None = None


def special_tokens(
    sources: Sequence[tuple[str, Mapping[str, Any]]], vocab_size: int
) -> SpecialTokens:
    """The special tokens that the first of `sources` to have the key names.

    sources: names of files for messages, and their content, generation_config.json before
    config.json as in transformers. null is none; where no source has the key, transformers' default
    of 50256 counts if the vocabulary has it. Raises CheckpointError for an eos_token_id that is no
    whole number or list of them, and a bos_token_id that is no whole number.
    """
    bos_file, bos = _first(sources, "bos_token_id")
    if bos is not None and type(bos) is not int:
        raise CheckpointError(
            f"{bos_file} says bos_token_id {shown(bos)}; expected a whole number, or null"
        )
    eos_file, eos = _first(sources, "eos_token_id")
    ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
    if not all(type(token_id) is int for token_id in ids):
        raise CheckpointError(
            f"{eos_file} says eos_token_id {shown(eos)}; expected a whole number, a list of them, "
            "or null"
        )
    inside = tuple(dict.fromkeys(i for i in ids if 0 <= i < vocab_size))
    outside = [i for i in ids if not 0 <= i < vocab_size]
    note = None
    if outside and eos_file is not None:
        note = (
            f"{eos_file} says eos_token_id {shown(eos)}, the vocabulary ends at {vocab_size - 1}: "
            + ("the text will not end by itself" if not inside else "the others end a text")
        )
    return SpecialTokens(
        bos=bos if bos is not None and 0 <= bos < vocab_size else None, eos=inside, note=note
    )


def _first(sources: Sequence[tuple[str, Mapping[str, Any]]], key: str) -> tuple[str | None, Any]:
    """The first file with the key, and its value; None and the default without one."""
    for file, content in sources:
        if key in content:
            return file, content[key]
    return None, _DEFAULT
