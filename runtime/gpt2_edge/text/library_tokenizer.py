"""Any kind of tokenizer.json, read by the tokenizers library."""

from __future__ import annotations

from functools import cached_property

from tokenizers import Encoding, Tokenizer

from gpt2_edge.files.manifest_rules import LARGEST
from gpt2_edge.text.tokenizer_file import library_call, load_tokenizer, part_state
from gpt2_edge.untrusted import UnreadableError


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
        return list(self._encoding(text, add_special_tokens, parse_special).ids)

    def encode_with_offsets(
        self, text: str, add_special_tokens: bool, parse_special: bool
    ) -> tuple[list[int], list[tuple[int, int]]]:
        encoding = self._encoding(text, add_special_tokens, parse_special)
        return list(encoding.ids), list(encoding.offsets)

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
