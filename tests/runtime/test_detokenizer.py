"""Every decoder that a tokenizer.json may have, streamed, against what the library decodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models

from gpt2_edge.text.decoder_chain import step_of
from gpt2_edge.text.tokenizer import Tokenizer

TOKENS = [
    *("a", "b", " ", "  a ", ".", " .", "'", " ' ", "n't", " n", "'t", "▁a", "▁", "▁▁b▁", "##a"),
    *("a##", "##", "do", " not", "do not", "x</w>", "</w>", "Ġa", "Ã©", "Ã", "é", "日", "🙂", "¡"),
    *("<0x41>", "<0xC3>", "<0xA9>", "<0xF0>", "<0x+1>", "<0x-1>", "<0xé>", "<0x 1>", "<0xZZ>"),
]
NO_TEXT = (" ", "▁", "##", "</w>", "Ã", "b", "a", "'")  # alone, to some of the decoders
END = len(TOKENS)  # a special token

BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": True,
    "trim_offsets": True,
    "use_regex": True,
}
FUSE, BYTE_FALLBACK = {"type": "Fuse"}, {"type": "ByteFallback"}


def replace(old: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def strip(start: int, stop: int, content: str = " ") -> dict[str, Any]:
    return {"type": "Strip", "content": content, "start": start, "stop": stop}


def word_piece(cleanup: bool, prefix: str = "##") -> dict[str, Any]:
    return {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup}


def metaspace(scheme: str) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}


DECODERS: dict[str, Sequence[dict[str, Any]] | None] = {
    "none": None,
    "an empty sequence": [],
    "byte level": [BYTE_LEVEL],
    "byte level, cleaned up": [BYTE_LEVEL, replace(" .", "."), replace(" ' ", "'")],
    "byte level, replaced": [BYTE_LEVEL, replace("aa", "b"), replace("ab", ""), replace("é", "aé")],
    "word piece": [word_piece(True)],
    "word piece as it is": [word_piece(False)],
    "word piece without a prefix": [word_piece(True, prefix="")],
    "metaspace": [metaspace("always")],
    "metaspace, first": [metaspace("first")],
    "metaspace, never": [metaspace("never")],
    "SentencePiece with bytes": [replace("▁", " "), BYTE_FALLBACK, FUSE, strip(1, 0)],
    "bytes": [BYTE_FALLBACK, FUSE],
    "bytes, not fused": [BYTE_FALLBACK],
    "stripped tokens": [strip(2, 0)],
    "stripped ends of tokens": [strip(0, 1)],
    "stripped whole": [FUSE, strip(1, 1, "b")],
    "ends of words": [{"type": "BPEDecoder", "suffix": "</w>"}],
    "fused, then word piece": [FUSE, word_piece(True)],
    "fused, then metaspace": [FUSE, metaspace("always")],
    "joined, then cleaned up": [word_piece(False, prefix="\0"), FUSE, replace(" .", ".")],
    "regular expression": [
        {"type": "Replace", "pattern": {"Regex": "[ab]+"}, "content": "x"},
    ],
    "regular expression on the whole": [
        BYTE_LEVEL,
        {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "},
    ],
    "CTC": [
        {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True},
    ],
    "byte level of byte level": [BYTE_LEVEL, BYTE_LEVEL],
}


def write(path: Path, decoder: Sequence[dict[str, Any]] | None) -> tokenizers.Tokenizer:
    vocabulary = {token: number for number, token in enumerate(TOKENS)}
    library = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    library.add_special_tokens(["<end>"])
    raw = json.loads(library.to_str())
    raw["decoder"] = None if decoder is None else {"type": "Sequence", "decoders": list(decoder)}
    if decoder is not None and len(decoder) == 1:
        raw["decoder"] = decoder[0]
    path.write_text(json.dumps(raw), encoding="utf-8")
    return tokenizers.Tokenizer.from_file(str(path))


Pair = tuple[Tokenizer, tokenizers.Tokenizer]


@pytest.fixture(scope="module", params=DECODERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    path = tmp_path_factory.mktemp("decoder") / "tokenizer.json"
    library = write(path, DECODERS[request.param])
    return Tokenizer(path), library


@settings(max_examples=150, deadline=None)
@given(ids=st.lists(st.integers(0, END + 1), max_size=14))
def test_streamed_pieces_concatenate_to_what_the_library_decodes(
    pair: Pair, ids: list[int]
) -> None:
    tokenizer, library = pair
    stream = tokenizer.stream()
    pieces = [*map(stream.push, ids), stream.finish()]
    assert tokenizer.decode(ids) == "".join(pieces)
    if "".join(pieces):  # the library panics where Strip gets nothing, or leaves nothing
        assert "".join(pieces) == library.decode(ids, skip_special_tokens=True)
    else:
        assert {TOKENS[i] for i in ids if i < END} <= {*NO_TEXT}


@pytest.mark.parametrize(
    "name", ["word piece", "metaspace", "byte level, cleaned up", "SentencePiece with bytes"]
)
def test_text_comes_before_the_end(name: str, tmp_path: Path) -> None:
    write(tmp_path / "tokenizer.json", DECODERS[name])
    stream = Tokenizer(tmp_path / "tokenizer.json").stream()
    shown = [stream.push(TOKENS.index("b")) for _ in range(3)]
    assert all(shown)


def test_the_library_panics_where_nothing_is_left_to_strip() -> None:
    # So this cannot be compared with it: one space, taken from both sides.
    step = step_of(strip(1, 1), whole=False)
    assert step is not None
    assert step.push(" ") == [""]
    assert step.push(" a ") == ["a"]


@pytest.mark.parametrize("token_id", [-1, 2**32, 2**70])
def test_ids_that_no_tokenizer_can_have_are_no_text(token_id: int, tmp_path: Path) -> None:
    write(tmp_path / "tokenizer.json", [FUSE])
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.decode([0, token_id, 1]) == "ab"
    assert tokenizer.label(token_id) == ""
