"""Text to ids and back, piece by piece, with the sample model's byte-level BPE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from gpt2_edge import PackageError
from gpt2_edge.text.library_tokenizer import LibraryTokenizer
from gpt2_edge.text.tokenizer import Tokenizer
from helpers import assert_one_line

END_OF_TEXT = "<|endoftext|>"
VOCAB_SIZE = 8192
FACES = "🙂👩‍👩‍👧 ☕️ ñ 生活 \u0301 “quoted”"

# Any text, many of them with characters of several bytes; no lone surrogates, which are no text.
texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(FACES), max_size=40
).filter(
    lambda text: "<|endoftext|>" not in text  # a special token is not text
)
# Ids below 300 are single bytes for the most part: cut characters and invalid UTF-8.
token_ids = st.lists(st.integers(0, VOCAB_SIZE - 1) | st.integers(0, 300), max_size=30)


@pytest.fixture(scope="module")
def path(sample_fp32: Path) -> Path:
    return sample_fp32 / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Tokenizer:
    return Tokenizer(path)


@pytest.fixture(scope="module")
def library(path: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(path))


def streamed(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """The text that each id lets be shown, and the rest."""
    stream = tokenizer.stream()
    return [*(stream.push(token_id) for token_id in ids), stream.finish()]


def test_vocab_size(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == VOCAB_SIZE


@settings(max_examples=200, deadline=None)
@given(ids=token_ids)
def test_streamed_pieces_concatenate_to_what_the_library_decodes(
    tokenizer: Tokenizer, library: tokenizers.Tokenizer, ids: list[int]
) -> None:
    assert "".join(streamed(tokenizer, ids)) == library.decode(ids, skip_special_tokens=True)
    assert tokenizer.decode(ids) == library.decode(ids, skip_special_tokens=True)


@settings(max_examples=200, deadline=None)
@given(text=texts)
def test_encoding_equals_the_library_s_and_decodes_to_the_text(
    tokenizer: Tokenizer, library: tokenizers.Tokenizer, text: str
) -> None:
    ids = tokenizer.encode(text)
    assert ids == library.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text


@settings(max_examples=200, deadline=None)
@given(text=texts.filter(lambda text: "\ufffd" not in text))
def test_no_piece_of_valid_text_holds_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    pieces = streamed(tokenizer, tokenizer.encode(text))
    assert not any("\ufffd" in piece for piece in pieces)
    assert pieces[-1] == ""
    assert "".join(pieces) == text


def test_a_character_of_four_tokens_comes_with_its_last(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("🙂")
    assert len(ids) > 1
    assert streamed(tokenizer, ids) == [*[""] * (len(ids) - 1), "🙂", ""]


def test_a_character_cut_off_at_the_end_becomes_a_replacement_character(
    tokenizer: Tokenizer,
) -> None:
    ids = tokenizer.encode("so 🙂")
    pieces = streamed(tokenizer, ids[:-1])
    assert pieces[-1] == "\ufffd"
    assert "".join(pieces) == "so \ufffd"


def test_special_tokens_are_read_but_not_written(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(f"one{END_OF_TEXT}two")
    assert 0 in ids
    assert tokenizer.decode(ids) == "onetwo"
    assert streamed(tokenizer, [0]) == ["", ""]


def test_a_special_token_between_the_bytes_of_a_character(
    tokenizer: Tokenizer, library: tokenizers.Tokenizer
) -> None:
    first, *others = tokenizer.encode("🙂")
    ids = [first, 0, *others]
    assert "".join(streamed(tokenizer, ids)) == library.decode(ids, skip_special_tokens=True)


def test_added_tokens_are_text_as_they_stand(library: tokenizers.Tokenizer, tmp_path: Path) -> None:
    # In GPT-2's table of characters a space stands for no byte, and é for one that is no UTF-8.
    extended = tokenizers.Tokenizer.from_str(library.to_str())
    extended.add_tokens(["<one tag>", "café"])
    path = tmp_path / "tokenizer.json"
    extended.save(str(path))
    tokenizer = Tokenizer(path)
    ids = tokenizer.encode("a <one tag> b")
    assert VOCAB_SIZE in ids
    assert tokenizer.decode(ids) == "a <one tag> b"
    ids = tokenizer.encode("café")
    assert ids == [VOCAB_SIZE + 1]
    assert tokenizer.decode(ids) == extended.decode(ids)


def test_ids_past_the_tokenizer_s_vocabulary_are_no_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("fine")
    assert streamed(tokenizer, [VOCAB_SIZE, *ids, VOCAB_SIZE + 7])[0] == ""
    assert tokenizer.decode([VOCAB_SIZE, *ids, VOCAB_SIZE + 7]) == "fine"


def test_a_label_names_special_tokens(tokenizer: Tokenizer) -> None:
    (animal,) = tokenizer.encode(" man")
    assert tokenizer.label(animal) == " man"
    assert tokenizer.label(0) == END_OF_TEXT


def test_an_undecodable_byte_of_the_command_line_can_be_encoded(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\udcffb")) == "a?b"


@pytest.mark.parametrize("content", ["", "{}", "not JSON", '{"model": {"type": "Unheard"}}'])
def test_a_file_that_is_no_tokenizer(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(PackageError) as raised:
        Tokenizer(path)
    assert str(raised.value).startswith(f"{path} is no tokenizer")
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def with_bos(library: tokenizers.Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The same with a template that puts the end of text before every text."""
    extended = tokenizers.Tokenizer.from_str(library.to_str())
    extended.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 0)]
    )
    path = tmp_path_factory.mktemp("bos") / "tokenizer.json"
    extended.save(str(path))
    return Tokenizer(path)


def test_a_template_s_special_tokens_are_added_unless_the_caller_says_no(
    with_bos: Tokenizer, tokenizer: Tokenizer
) -> None:
    ids = tokenizer.encode("One day")
    assert with_bos.encode("One day") == [0, *ids]
    assert with_bos.encode("One day", add_special_tokens=False) == ids


def test_special_tokens_of_strangers_can_be_text(tokenizer: Tokenizer) -> None:
    text = f"one{END_OF_TEXT}two"
    ids = tokenizer.encode(text, parse_special=False)
    assert 0 not in ids
    assert tokenizer.decode(ids) == text
    assert 0 in tokenizer.encode(text)  # the other kind is as it was


words = st.lists(texts | st.sampled_from(["the", "sea", "a", " b", "c ", "'s", "\n", "1"])).map(
    " ".join
)


@given(words, st.booleans(), st.booleans())
@settings(deadline=None)
def test_a_long_text_is_encoded_in_parts(
    tokenizer: Tokenizer, text: str, specially: bool, parsed: bool
) -> None:
    expected = tokenizer.encode(text, add_special_tokens=specially, parse_special=parsed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt2_edge.text.library_tokenizer._PART", 3)
        found = tokenizer.encode(text, add_special_tokens=specially, parse_special=parsed)
    assert found == expected


def test_parts_are_cut_between_words_only(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge.text.library_tokenizer._PART", 3)
    backend = tokenizer._backend
    assert isinstance(backend, LibraryTokenizer)
    text = "It was a  dark, cold night \n in May"
    parts = list(backend._parts(text, add_special_tokens=True))
    assert parts == ["It was", " a  dark, cold", " night \n in", " May"]


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"added_tokens": "It was"},
    ],
    ids=str,
)
def test_other_kinds_are_not_cut_and_take_no_text_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    raw = json.loads(path.read_text("utf-8"))
    if "added_tokens" in change:
        raw["added_tokens"][0]["content"] = change["added_tokens"]
        raw["model"]["vocab"] = {
            token: number for token, number in raw["model"]["vocab"].items() if number != 0
        } | {change["added_tokens"]: 0}
    else:
        raw |= change
    kind = Tokenizer(path, json.dumps(raw).encode())
    whole = kind.encode("It was a dark night")
    monkeypatch.setattr("gpt2_edge.text.library_tokenizer._PART", 3)
    assert kind.encode("It was a dark night") == whole
    monkeypatch.setattr("gpt2_edge.text.library_tokenizer._MOST", 18)
    with pytest.raises(PackageError) as raised:
        kind.encode("It was a dark night")
    assert_one_line(raised.value, "19 characters", "takes 18 at a time")
