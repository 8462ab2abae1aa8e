"""tokenizer.json's post_processor: the tokens that it puts around a text, and what it trims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gpt2_edge.text.byte_level.fields import (
    flag,
    kind_of,
    objects,
    token_id,
    unsupported,
    wrong,
)
from gpt2_edge.text.byte_level.words import WHITE_SPACE

Range = tuple[int, int]
# What stands for the space in GPT-2's table of printable characters.
_SPACE_TOKEN = "\u0120"


@dataclass(frozen=True)
class Around:
    """What stands before and behind every text.

    trims: how the characters that tokens stand for lose their white space, one after the other;
    True where the space that was put before the text stays.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    trims: tuple[bool, ...] = ()

    def trimmed(self, tokens: Sequence[str], ranges: Sequence[Range]) -> list[Range]:
        """The characters of the text that `tokens` stand for, in the library's own arithmetic."""
        found = list(ranges)
        for keeps_first in self.trims:
            for number, token in enumerate(tokens):
                found[number] = _trimmed(token, found[number], number == 0, keeps_first)
        return found


def _trimmed(token: str, place: Range, is_first: bool, keeps_first: bool) -> Range:
    start, end = place
    leading, trailing = _spaces(token), _spaces(reversed(token))
    if leading:
        if keeps_first and (is_first or start == 0):
            leading -= 1
        start = min(start + leading, end)
    if trailing and end >= trailing:
        end = max(end - trailing, start)
    return start, end


def _spaces(token: Iterable[str]) -> int:
    count = 0
    for character in token:
        if character != _SPACE_TOKEN and character not in WHITE_SPACE:
            break
        count += 1
    return count


def read_around(processor: Any) -> Around:
    """From the value of post_processor. Raises UnreadableError for what is no GPT-2's."""
    around = Around()
    for step in objects(processor, "processors", "post_processor"):
        # Each puts its tokens around what the one before it made.
        outer = _read_step(step)
        around = Around(
            (*outer.before, *around.before),
            (*around.after, *outer.after),
            (*around.trims, *outer.trims),
        )
    return around


def _read_step(step: dict[str, Any]) -> Around:
    kind = step.get("type")
    trims: tuple[bool, ...] = ()
    if kind in ("ByteLevel", "RobertaProcessing") and flag(step, "trim_offsets", True):
        trims = (flag(step, "add_prefix_space", True),)
    if kind == "ByteLevel":
        return Around(trims=trims)
    if kind == "TemplateProcessing":
        return Around(*_template(step))
    if kind in ("RobertaProcessing", "BertProcessing"):
        return Around((_of_pair(step, "cls"),), (_of_pair(step, "sep"),), trims)
    raise unsupported(f"the post_processor {kind_of(step)}")


def _template(step: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pieces, known = step.get("single"), step.get("special_tokens")
    if not isinstance(pieces, list):
        raise wrong("post_processor.single", pieces)
    sides: list[list[int]] = [[]]
    for piece in pieces:
        piece = piece if isinstance(piece, dict) else {}
        special, sequence = piece.get("SpecialToken"), piece.get("Sequence")
        if isinstance(special, dict):
            sides[-1] += _ids(known, special.get("id"))
        elif isinstance(sequence, dict) and sequence.get("id") == "A":
            sides.append([])
        else:
            raise wrong("a part of post_processor.single", piece)
    if len(sides) != 2:
        raise unsupported(f"a post_processor with the text {len(sides) - 1} times")
    return tuple(sides[0]), tuple(sides[1])


def _ids(known: Any, name: Any) -> list[int]:
    token = known.get(name) if isinstance(known, dict) and isinstance(name, str) else None
    ids = token.get("ids") if isinstance(token, dict) else None
    if not isinstance(ids, list):
        raise wrong("a token of post_processor's template", name)
    return [token_id(each, "a token of post_processor's template") for each in ids]


def _of_pair(step: dict[str, Any], name: str) -> int:
    pair = step.get(name)
    if not isinstance(pair, list) or len(pair) != 2:
        raise wrong(f"post_processor.{name}", pair)
    return token_id(pair[1], f"post_processor.{name}")
