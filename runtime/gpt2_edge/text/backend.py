"""Who reads a tokenizer.json: the tokenizers library where it is installed, else Python alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

_NewBackend = Callable[[bytes], "TokenizerBackend"]

new_backend: _NewBackend
"""From the bytes of tokenizer.json. Raises UnreadableError for what cannot be used."""

try:
    from gpt2_edge.text.library_tokenizer import LibraryTokenizer
except ModuleNotFoundError as error:
    if error.name != "tokenizers":
        raise
    from gpt2_edge.text.byte_level.tokenizer import ByteLevelTokenizer

    new_backend = ByteLevelTokenizer
else:
    new_backend = LibraryTokenizer


class TokenizerBackend(Protocol):
    """A tokenizer.json that has been read; what it raises is UnreadableError.

    decoder: its object in the file, {} where there is none. added: the added tokens by their ids.
    special: those of them that are no text. size: how many tokens there are, added ones included.
    """

    @property
    def decoder(self) -> dict[str, Any]: ...

    @property
    def added(self) -> Mapping[int, str]: ...

    @property
    def special(self) -> frozenset[str]: ...

    @property
    def size(self) -> int: ...

    def encode(self, text: str, add_special_tokens: bool, parse_special: bool) -> list[int]: ...

    def encode_with_offsets(
        self, text: str, add_special_tokens: bool, parse_special: bool
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids, and for each the characters [start, end) of `text` as the library has them."""
        ...

    def token_of(self, token_id: int) -> str | None: ...

    @property
    def decode_whole(self) -> Callable[[list[int]], str] | None:
        """The text of ids, for decoders that have to see all of them; None if there are none."""
        ...

    def vocabulary(self) -> dict[str, int]: ...

    def to_json(self) -> str: ...
