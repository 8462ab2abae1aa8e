"""A small model that drafts for a large one (speculative decoding; Leviathan et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from gpt2_edge.decode.draft import Drafter
from gpt2_edge.decode.rows import make_rows
from gpt2_edge.decode.rows_protocol import Rows, common_prefix
from gpt2_edge.errors import GenerationError
from gpt2_edge.model import Model
from gpt2_edge.sampling import greedy
from gpt2_edge.untrusted import shown


def drafts_of(assistant: Model, target: Model) -> Drafter:
    """What `assistant` would write next, greedily. Its cache follows the text.

    Raises GenerationError unless it is a loaded package with the same tokens.
    """
    if not isinstance(assistant, Model):
        raise GenerationError(f"assistant is {shown(assistant)}; give another Generator")
    if not _same_tokens(assistant, target):
        raise GenerationError(
            f"the assistant {assistant.name} has other tokens than {target.name}; take one with "
            "the same tokenizer"
        )
    rows = make_rows(assistant.session, 1, assistant.context_length)

    def propose(text: Sequence[int], most: int) -> list[int]:
        room = rows.capacity - len(text)
        return _continue(rows, list(text), min(most, room)) if room > 0 else []

    return propose


def _continue(rows: Rows, text: list[int], count: int) -> list[int]:
    """The `count` most likely tokens behind `text`, one after another."""
    common = min(common_prefix(rows.ids[0], text), len(text) - 1)
    rows.trim(0, common)
    left, logits = text[common:], None
    while left:
        taken, logits = rows.read(0, left)
        left = left[taken:]
    found: list[int] = []
    while logits is not None and len(found) < count:
        found.append(greedy(logits))
        if len(found) < count:
            logits = rows.step([0], [found[-1:]])[0, 0]
    return found


def _same_tokens(one: Model, other: Model) -> bool:
    if one.vocab_size != other.vocab_size:
        return False
    if one.tokenizer is None or other.tokenizer is None:
        return one.tokenizer is other.tokenizer
    return one.tokenizer.vocabulary() == other.tokenizer.vocabulary()
