"""tokenizer.json files that hurt the tokenizers library: one line, before the library prints."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import PackageError
from gpt2_edge.text.regex_check import is_risky
from gpt2_edge.text.tokenizer import Tokenizer
from helpers import assert_one_line


def added(number: int, content: str, **flags: bool) -> dict[str, Any]:
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"id": number, "content": content, **dict.fromkeys(names, False), **flags}


def split(regex: str) -> dict[str, Any]:
    pattern = {"Regex": regex}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def bpe(**members: Any) -> dict[str, Any]:
    return {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], **members}


def template(*names: str, known: dict[str, Any]) -> dict[str, Any]:
    single = [{"SpecialToken": {"id": name, "type_id": 0}} for name in names]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single,
        "special_tokens": known,
    }


RISKY = "(a|aa)+$"
BOMB = [replace({"String": "a"}, "a" * 50)] * 3

# Without the checks the library panics on each of them, never ends, or takes all memory.
HOSTILE: dict[str, dict[str, Any]] = {
    "a prefix that a merge does not have": {
        "model": bpe(continuing_subword_prefix="ByteLevel", merges=["a b"])
    },
    "a prefix that ends within a character": {
        "model": bpe(vocab={"a": 0, "é": 1, "aé": 2}, merges=["a é"], continuing_subword_prefix="x")
    },
    "a regular expression without end in the normalizer": {
        "normalizer": replace({"Regex": RISKY}, ""),
        "added_tokens": [added(3, "a" * 300 + "b", normalized=True)],
    },
    "one in a sequence": {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "NFC"}, replace({"Regex": RISKY}, "")],
        },
        "added_tokens": [added(3, "a" * 300 + "b", normalized=True)],
    },
    "one in the pre-tokenizer": {"pre_tokenizer": split(RISKY)},
    "a charsmap that is no text": {
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": {"a": 1}}
    },
    "replacements that fill the memory": {"normalizer": {"type": "Sequence", "normalizers": BOMB}},
    "the same in the decoder": {"decoder": {"type": "Sequence", "decoders": BOMB}},
    "pieces of no length": {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    "a template with a token that it does not define": {
        "post_processor": template("zz", known={"x": {"id": "x", "ids": [1], "tokens": ["x"]}})
    },
    "more added tokens than can be compared": {
        "added_tokens": [added(3 + i, f"<{i}>") for i in range(20_001)]
    },
    "an id that is no number": {"added_tokens": [added(3, "x") | {"id": "3"}]},
    "an id below 0": {"model": bpe(vocab={"a": -1})},
    "an id beyond 32 bits": {"model": bpe(vocab={"a": 2**40})},
    "a decoder of another library": {"decoder": {"type": "Unheard"}},
    "a model without vocabulary": {"model": {"type": "BPE"}},
}


def write(path: Path, parts: dict[str, Any]) -> Path:
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": bpe(),
    }
    path.write_text(json.dumps(whole | parts), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", HOSTILE)
def test_refused_in_one_line_and_nothing_is_printed(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "tokenizer.json", HOSTILE[case])
    with pytest.raises(PackageError) as raised:
        Tokenizer(path).encode("a" * 100 + "b")
    assert_one_line(raised.value, path)
    assert capfd.readouterr() == ("", "")


CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "no UTF-8": b'{"a": "\xff"}',
    "nested without end": b"[" * 100_000,
    "a number of 5,000 digits": b'{"version": ' + b"1" * 5000 + b"}",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:7cb1\nsize 5\n",
    "an object with a Regex of no kind": b'{"normalizer": {"type": "Replace", "Regex": [[]]}}',
    "a list with a Regex": b'["Regex"]',
}


@pytest.mark.parametrize("case", CONTENTS)
def test_what_is_no_tokenizer(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(CONTENTS[case])
    with pytest.raises(PackageError) as raised:
        Tokenizer(path)
    assert_one_line(raised.value, path)
    assert capfd.readouterr() == ("", "")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 32)


@pytest.mark.parametrize("make", [Path.mkdir, make_pipe, make_sparse, lambda path: None])
def test_what_is_no_file_of_a_sane_size(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    make(path)
    with pytest.raises(PackageError) as raised:
        Tokenizer(path)
    assert_one_line(raised.value, path)


def test_a_panic_that_no_check_foresees_is_one_line(tmp_path: Path) -> None:
    # Many places where an engine that goes back may try: it gives up, and the library panics.
    regex = "a*a*a*a*a*a*a*a*c"
    path = write(tmp_path / "tokenizer.json", {"pre_tokenizer": split(regex)})
    tokenizer = Tokenizer(path)
    assert tokenizer.encode("ab") == [2]
    with pytest.raises(PackageError) as raised:
        tokenizer.encode("a" * 200 + "bc")
    assert_one_line(raised.value, path)
    assert tokenizer.encode("ab") == [2]


def test_a_tokenizer_that_the_library_cannot_read_again_is_one_line(tmp_path: Path) -> None:
    # Of two tokens with one id it writes only one, and misses the other in the merges.
    path = write(tmp_path / "tokenizer.json", {"model": bpe(vocab={"a": 0, "b": 0, "ab": 2})})
    tokenizer = Tokenizer(path)
    assert tokenizer.encode("ab") == [2]
    with pytest.raises(PackageError) as raised:
        tokenizer.encode("ab", parse_special=False)
    assert_one_line(raised.value, path)


def test_padding_without_end_is_not_applied(tmp_path: Path) -> None:
    padding = {
        "strategy": {"Fixed": 4_000_000_000},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "a",
    }
    path = write(tmp_path / "tokenizer.json", {"padding": padding})
    assert Tokenizer(path).encode("ab") == [2]
    assert Tokenizer(path).encode("ab", parse_special=False) == [2]


# What published tokenizers split by: GPT-2, GPT-4, GPT-4o, Llama 3, DeepSeek, BLOOM.
PUBLISHED = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    " ?[^(\\s|[.,!?…。，、।۔،])]+",
)


@pytest.mark.parametrize("pattern", PUBLISHED)
def test_published_expressions_are_taken(pattern: str) -> None:
    assert not is_risky(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+", "(a|aa)*", "(?:a*)*b", "((a+)b)+", "([a-z]+ ?)*$", "(a+){2,}", "(a{1,9}){1,9}"),
        *(r"(\w+\s?)*", r"([)]+)*", "a" * 20_001),
    ],
)
def test_expressions_without_end_are_not(pattern: str) -> None:
    assert is_risky(pattern)


@pytest.mark.parametrize(
    "pattern", ["", "(", ")", "[", "(()", "a{", "{", "\\", "(a+", "a)+", "[[]", "*", "(*", "]+)("]
)
def test_what_is_no_expression_is_left_to_the_library(pattern: str) -> None:
    assert not is_risky(pattern)
