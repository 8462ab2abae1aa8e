"""Tokenizers that are not GPT-2's byte-level BPE: small ones, built with the library."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from gpt2_edge.text.tokenizer import Tokenizer

WORDS = ["[UNK]", "the", "cat", "cats", "café", "##s", "un", "##like", "##ly", ".", "'", "s", "n't"]
VOCABULARY = {word: number for number, word in enumerate(WORDS)}
END = len(WORDS)

Pair = tuple[Tokenizer, tokenizers.Tokenizer]


def word_level() -> tokenizers.Tokenizer:
    """Words between spaces; no decoder, so the library joins them with spaces."""
    library = tokenizers.Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    return library


def word_piece() -> tokenizers.Tokenizer:
    """Parts of words; the decoder takes away the spaces before punctuation."""
    library = tokenizers.Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.decoder = decoders.WordPiece()
    return library


@pytest.fixture(scope="module", params=[word_level, word_piece])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    library: tokenizers.Tokenizer = request.param()
    library.add_special_tokens(["<end>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    library.save(str(path))
    return Tokenizer(path), library


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, END), max_size=12))
def test_streamed_pieces_concatenate_to_what_the_library_decodes(
    pair: Pair, ids: list[int]
) -> None:
    tokenizer, library = pair
    stream = tokenizer.stream()
    pieces = [*map(stream.push, ids), stream.finish()]
    assert "".join(pieces) == library.decode(ids, skip_special_tokens=True)


def test_a_text_comes_back(pair: Pair) -> None:
    tokenizer, _ = pair
    assert tokenizer.decode(tokenizer.encode("the café cats <end>")) == "the café cats"


def test_text_comes_before_the_end(pair: Pair) -> None:
    tokenizer, _ = pair
    stream = tokenizer.stream()
    shown = [stream.push(token_id) for token_id in tokenizer.encode("the cat the cat")]
    assert "".join(shown) == "the cat the cat"
    assert shown[0] == "the"


def test_labels(pair: Pair) -> None:
    tokenizer, _ = pair
    assert tokenizer.label(VOCABULARY["cat"]) == "cat"
    assert tokenizer.label(END) == "<end>"


def test_truncation_and_padding_of_the_file_are_not_applied(tmp_path: Path) -> None:
    library = word_level()
    library.enable_truncation(2)
    library.enable_padding(length=8)
    path = tmp_path / "tokenizer.json"
    library.save(str(path))
    assert len(Tokenizer(path).encode("the cat the cat the")) == 5


BYTES = ["[UNK]", "a", *(f"<0x{byte:02X}>" for byte in range(256))]


@pytest.fixture(scope="module")
def byte_fallback(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Characters without a token of their own are bytes, as SentencePiece has it."""
    vocabulary = {token: number for number, token in enumerate(BYTES)}
    library = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    library.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    library.save(str(path))
    return Tokenizer(path)


def ids_of(content: bytes) -> list[int]:
    return [BYTES.index(f"<0x{byte:02X}>") for byte in content]


def pushed(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    stream = tokenizer.stream()
    return [*map(stream.push, ids), stream.finish()]


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_text_in_bytes(byte_fallback: Tokenizer, text: str) -> None:
    assert "".join(pushed(byte_fallback, ids_of(text.encode()))) == text


def test_a_character_cut_off_at_the_end(byte_fallback: Tokenizer) -> None:
    ids = [BYTES.index("a"), *ids_of("é".encode()[:-1])]
    assert pushed(byte_fallback, ids) == ["a", "", "\ufffd"]


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.sampled_from([0, 1, *ids_of("éÀ".encode())]), max_size=8))
def test_bytes_that_are_no_text_can_be_streamed(byte_fallback: Tokenizer, ids: list[int]) -> None:
    assert len(pushed(byte_fallback, ids)) == len(ids) + 1
