"""Text to token ids and back, the way back piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gpt2_edge.errors import PackageError
from gpt2_edge.files.package_folder import Package
from gpt2_edge.text import backend
from gpt2_edge.text.decoder_steps import bytes_of_token
from gpt2_edge.text.detokenizer import DetokenizerStream, stream_maker
from gpt2_edge.untrusted import TOKENIZER_LIMIT, UnreadableError, read_bytes

Result = TypeVar("Result")


class Tokenizer:
    """The tokenizer.json of a package. Threads may share one."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """From the file `path`; `content` is what is in it, where that has been read already.

        Raises PackageError in one line for whatever is no tokenizer.
        """
        try:
            if content is None:
                content = read_bytes(path, TOKENIZER_LIMIT)
            self._backend = backend.new_backend(content)
        except (FileNotFoundError, UnreadableError) as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
            raise PackageError(f"{path} is no tokenizer that can be read: {reason}") from error
        self._path = path
        self._added, self._special = self._backend.added, self._backend.special
        decoder = self._backend.decoder
        self._byte_level = decoder.get("type") == "ByteLevel"
        self._new_stream = stream_maker(decoder, self._token_of, self._decode)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        return self._backend.size

    def encode(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of `text`, those that transformers' tokenizer(text) gives.

        add_special_tokens: with the tokens that the tokenizer puts around a text (a beginning of
        text; [CLS] and [SEP]), if it has such a template. parse_special: whether special tokens
        written out in the text count as such; False for text of strangers. Raises PackageError
        where the file's rules cannot be carried out on `text`.
        """
        clean, encode = _without_surrogates(text), self._backend.encode
        return self._call(lambda: encode(clean, add_special_tokens, parse_special), "encode")

    def encode_with_ranges(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """As `encode`, and for each token the characters [start, end) of `text` that it stands for.

        Tokens of one character share its range. What no token claims (a space in front of a word,
        where the tokenizer leaves it out) belongs to the token behind it.
        """
        clean, encode = _without_surrogates(text), self._backend.encode_with_offsets
        ids, offsets = self._call(
            lambda: encode(clean, add_special_tokens, parse_special), "encode"
        )
        ranges: list[tuple[int, int]] = []
        reached = 0
        for start, end in offsets:
            begin = min(start, reached) if end > reached else start
            reached = max(reached, end)
            ranges.append((begin, max(begin, end)))
        return ids, ranges

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; bytes that are no UTF-8 become U+FFFD."""
        stream = self.stream()
        return "".join([*map(stream.push, ids), stream.finish()])

    def label(self, token_id: int) -> str:
        """One token as text, special tokens by their name: for tables of options."""
        return self._added.get(token_id) or self.decode([token_id])

    def is_special(self, token_id: int) -> bool:
        """Whether it is a special token, which `decode` leaves out."""
        return self._added.get(token_id) in self._special

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token, which may be a part of a character; of special tokens their
        name.
        """
        token = None if token_id in self._added else self._token_of(token_id)
        if token is None or not self._byte_level:
            return self.label(token_id).encode()
        return bytes_of_token(token)

    def stream(self) -> DetokenizerStream:
        """A new detokenizer that turns ids into text one at a time."""
        return self._new_stream()

    def _token_of(self, token_id: int) -> str | None:
        token = self._backend.token_of(token_id)
        return None if token in self._special else token

    def _decode(self, ids: list[int]) -> str:
        whole = self._backend.decode_whole
        assert whole is not None, "this decoder has to see all tokens"
        known = [token_id for token_id in ids if self._token_of(token_id) is not None]
        return self._call(lambda: whole(known), "decode")

    def _call(self, call: Callable[[], Result], what: str) -> Result:
        try:
            return call()
        except UnreadableError as error:
            raise PackageError(f"{self._path} cannot {what} this text: {error}") from error

    def vocabulary(self) -> dict[str, int]:
        """Every token with its id, added ones included."""
        return self._backend.vocabulary()

    def to_json(self) -> str:
        """The tokenizer as a tokenizer.json."""
        return self._backend.to_json()


def _without_surrogates(text: str) -> str:
    """A lone surrogate (an undecodable byte of the command line) cannot be text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def package_tokenizer(package: Package, verify: bool = True) -> Tokenizer | None:
    """The tokenizer of `package`, if it has one. verify: compare its hash. Raises PackageError."""
    name = package.manifest.tokenizer
    if not name:
        return None
    content = package.read(name, TOKENIZER_LIMIT, verify)  # which hashes what it returns
    return Tokenizer(package.folder / name, content)
