"""Any kind of tokenizer.json, read by the tokenizers library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from tokenizers import Encoding, Tokenizer

from gpt2_edge.files.manifest_rules import LARGEST
from gpt2_edge.text.tokenizer_file import library_call, load_tokenizer, part_state
from gpt2_edge.untrusted import UnreadableError

# Characters that are encoded at a time: about so many, and at most.
_PART, _MOST = 1 << 20, 1 << 22
_BETWEEN_WORDS = re.compile("(?<=[A-Za-z])(?= [A-Za-z])")


class LibraryTokenizer:
    """Threads may share one."""

    def __init__(self, content: bytes) -> None:
        """From the bytes of tokenizer.json. Raises UnreadableError for what cannot be used."""
        self._library = load_tokenizer(content)
        self.decoder = part_state(self._library.decoder)
        added = self._library.get_added_tokens_decoder()
        self.added = {token_id: token.content for token_id, token in added.items()}
        self.special = frozenset(token.content for token in added.values() if token.special)

    @property
    def size(self) -> int:
        return int(self._library.get_vocab_size())

    def encode(self, text: str, add_special_tokens: bool, parse_special: bool) -> list[int]:
        ids: list[int] = []
        for part in self._parts(text, add_special_tokens):
            ids += self._encoding(part, add_special_tokens, parse_special).ids
        return ids

    def encode_with_offsets(
        self, text: str, add_special_tokens: bool, parse_special: bool
    ) -> tuple[list[int], list[tuple[int, int]]]:
        encoding = self._encoding(text, add_special_tokens, parse_special)
        return list(encoding.ids), list(encoding.offsets)

    def _parts(self, text: str, add_special_tokens: bool) -> Iterator[str]:
        """`text` in parts whose ids, one behind the other, are its own.

        The library takes 200 bytes for each character that it encodes at a time, and ends the
        process where it gets no memory. UnreadableError for a text that is too long and cannot be
        cut.
        """
        begin = 0
        if self._may_be_cut and not (add_special_tokens and self._adds_tokens):
            while len(text) - begin > _PART and (
                cut := _BETWEEN_WORDS.search(text, begin + _PART, begin + _MOST)
            ):
                yield text[begin : cut.start()]
                begin = cut.start()
        if len(text) - begin > _MOST:
            raise UnreadableError(
                f"it has {len(text):,} characters; this tokenizer takes {_MOST:,} at a time"
            )
        yield text[begin:]

    @cached_property
    def _may_be_cut(self) -> bool:
        """Whether nothing sees across the space between two words: as in GPT-2's own tokenizer."""
        words = part_state(self._library.pre_tokenizer)
        return (
            self._library.normalizer is None
            and self._library.truncation is None
            and self._library.padding is None
            and words.get("type") == "ByteLevel"
            and bool(words.get("use_regex", True))
            and not any(
                " " in token.content or token.lstrip or token.rstrip
                for token in self._library.get_added_tokens_decoder().values()
            )
        )

    @cached_property
    def _adds_tokens(self) -> bool:
        return part_state(self._library.post_processor).get("type") not in (None, "ByteLevel")

    def _encoding(self, text: str, add_special_tokens: bool, parse_special: bool) -> Encoding:
        library = self._library if parse_special else self._plain
        return library_call(lambda: library.encode(text, add_special_tokens=add_special_tokens))

    def token_of(self, token_id: int) -> str | None:
        try:
            token: str | None = self._library.id_to_token(token_id)
        except OverflowError:  # the library's ids have 32 bits
            return None
        return token

    def decode_whole(self, ids: list[int]) -> str:
        return library_call(lambda: str(self._library.decode(ids)))

    def vocabulary(self) -> dict[str, int]:
        return dict(self._library.get_vocab())

    def to_json(self) -> str:
        return str(self._library.to_str())

    @cached_property
    def _plain(self) -> Tokenizer:
        """The same for which special tokens in a text are text.

        The library has this as a state of the tokenizer, which threads share: hence two of them.
        """
        # The library writes a tokenizer by counting up to its largest id.
        largest = max(self._library.get_vocab().values(), default=0)
        if largest > LARGEST["vocab_size"]:
            raise UnreadableError(
                f"it has the id {largest}; expected at most {LARGEST['vocab_size']:,}"
            )
        plain = library_call(lambda: Tokenizer.from_str(self._library.to_str()))
        plain.encode_special_tokens = True
        return plain
