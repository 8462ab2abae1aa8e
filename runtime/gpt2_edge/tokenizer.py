"""Text to token ids and back, the way back piece by piece."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer as _HFTokenizer
from tokenizers.decoders import DecodeStream

from gpt2_edge.errors import PackageError


class Tokenizer:
    """The tokenizer.json of a package."""

    def __init__(self, path: Path) -> None:
        try:
            content = path.read_text(encoding="utf-8")
            self._tokenizer = _HFTokenizer.from_str(content)
        except Exception as error:  # the library raises plain Exception
            raise PackageError(f"{path} is no tokenizer that can be read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        raw = json.loads(content)
        self._byte_level = _is_byte_level(raw.get("decoder"))
        self._special_ids = frozenset(
            token["id"] for token in raw.get("added_tokens", []) if token.get("special")
        )
        self._added = {token["id"]: token["content"] for token in raw.get("added_tokens", [])}

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        return self._tokenizer.get_vocab_size()

    def encode(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of `text`, those that transformers' tokenizer(text) gives.

        add_special_tokens: with the tokens that the tokenizer puts around a text (a beginning of
        text; [CLS] and [SEP]), if it has such a template. parse_special: whether special tokens
        written out in the text count as such; False for text of strangers.
        """
        # A lone surrogate (an undecodable byte of the command line) cannot be text.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        tokenizer = self._tokenizer if parse_special else self._plain
        return list(tokenizer.encode(clean, add_special_tokens=add_special_tokens).ids)

    @cached_property
    def _plain(self) -> _HFTokenizer:
        """The same for which special tokens in a text are text.

        The library has this as a state of the tokenizer, which threads share: hence two of them.
        """
        plain = _HFTokenizer.from_str(self._tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; bytes that are no UTF-8 become U+FFFD."""
        stream = self.stream()
        return "".join([*map(stream.push, ids), stream.finish()])

    def label(self, token_id: int) -> str:
        """One token as text, special tokens by their name: for tables of options."""
        return self._added.get(token_id) or self.decode([token_id])

    def stream(self) -> DetokenizerStream:
        """A new detokenizer that turns ids into text one at a time."""
        if self._byte_level:
            return _ByteLevelStream(self._tokenizer, self._special_ids)
        return _LibraryStream(self._tokenizer)


class DetokenizerStream(Protocol):
    """`push` returns the text that became certain, never half a character; `finish` the rest."""

    def push(self, token_id: int) -> str: ...

    def finish(self) -> str: ...


class _ByteLevelStream:
    """GPT-2's own byte-level BPE: every token is bytes, put together as UTF-8."""

    def __init__(self, tokenizer: _HFTokenizer, special_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._special_ids = special_ids
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        if token_id in self._special_ids:
            return ""
        token = self._tokenizer.id_to_token(token_id)
        if token is None:  # the vocabulary of the model may be padded past the tokenizer's
            return ""
        return self._decoder.decode(_token_bytes(token))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class _LibraryStream:
    """Any other kind of tokenizer, by the library's own stream."""

    def __init__(self, tokenizer: _HFTokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._emitted = ""

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        try:
            piece = self._stream.step(self._tokenizer, token_id) or ""
        except Exception:  # plain Exception, where bytes that are no text confuse the library
            self._stream = DecodeStream(skip_special_tokens=True)
            self._ids, self._emitted = [token_id], ""
            piece = self._stream.step(self._tokenizer, token_id) or ""
        self._emitted += piece
        return piece

    def finish(self) -> str:
        whole = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return whole[len(self._emitted) :] if whole.startswith(self._emitted) else ""


def _is_byte_level(decoder: object) -> bool:
    return isinstance(decoder, dict) and decoder.get("type") == "ByteLevel"


def _byte_of_character() -> dict[str, int]:
    """GPT-2's table of printable characters that stand for bytes (encoder.py of its release)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTES = _byte_of_character()


def _token_bytes(token: str) -> bytes:
    # An added token may hold characters that stand for no byte; the library then takes it as is.
    if all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token)
    return token.encode("utf-8")
