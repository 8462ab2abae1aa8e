"""Added tokens, which are found in a text before it becomes words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from gpt2_edge.text.byte_level import unicode_classes
from gpt2_edge.text.byte_level.words import WHITE_SPACE, character_class


@dataclass(frozen=True)
class AddedToken:
    """An entry of tokenizer.json's added_tokens; the flags are the library's."""

    id: int
    content: str
    special: bool
    lstrip: bool
    rstrip: bool
    single_word: bool
    normalized: bool


@dataclass(frozen=True)
class Part:
    """The characters [start, end) of a text: an added token with its id, or what lies between."""

    start: int
    end: int
    token_id: int | None


class AddedTokens:
    """Finds those that are not normalized first; in what is left, the others."""

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        passes = ([t for t in tokens if not t.normalized], [t for t in tokens if t.normalized])
        self._passes = [_Pass(each) for each in passes if each]

    def split(self, text: str, parse_special: bool) -> list[Part]:
        """`text` in parts, none of them empty. parse_special: False where special ones are text."""
        parts = [Part(0, len(text), None)] if text else []
        for each in self._passes:
            parts = [piece for part in parts for piece in each.split(text, part, parse_special)]
        return parts


class _Pass:
    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        self._by_content = {token.content: token for token in tokens}
        lengths = defaultdict(set)
        for content in self._by_content:
            lengths[content[0]].add(len(content))
        # Of the tokens that begin at a place, the longest counts.
        self._lengths = {first: sorted(each, reverse=True) for first, each in lengths.items()}
        self._first = re.compile("[" + "".join(map(re.escape, self._lengths)) + "]")

    def split(self, whole: str, part: Part, parse_special: bool) -> Iterator[Part]:
        if part.token_id is not None:
            yield part
            return
        text = whole[part.start : part.end]
        done = at = 0
        while (place := self._first.search(text, at)) is not None:
            start = place.start()
            token = self._token_at(text, start)
            if token is None:
                at = start + 1
                continue
            # The search goes on behind the token itself, whatever spaces go with it.
            end = at = start + len(token.content)
            if token.special and not parse_special:
                continue
            if token.single_word and not _stands_alone(text, start, end):
                continue
            if token.lstrip:
                while start > done and text[start - 1] in WHITE_SPACE:
                    start -= 1
                start = max(start, done)
            while token.rstrip and text[end : end + 1] in WHITE_SPACE:
                end += 1
            if start > done:
                yield Part(part.start + done, part.start + start, None)
            yield Part(part.start + start, part.start + end, token.id)
            done = end
        if done < len(text):
            yield Part(part.start + done, part.end, None)

    def _token_at(self, text: str, start: int) -> AddedToken | None:
        for length in self._lengths[text[start]]:
            token = self._by_content.get(text[start : start + length])
            if token is not None:
                return token
        return None


def _stands_alone(text: str, start: int, end: int) -> bool:
    word = _word_pattern()
    return not word.match(text, end) and not (start and word.match(text, start - 1))


@cache
def _word_pattern() -> re.Pattern[str]:
    return re.compile(f"[{character_class(unicode_classes.WORD)}]")
