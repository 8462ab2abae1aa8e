"""Tokenizers that an export refuses, each in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.tokenizer.files import read_tokenizer
from helpers import assert_one_line

CONFIG = GPT2Config(8192, 64, 32, 2, 2, 128, bos_token_id=0, eos_token_ids=(0,))

BROKEN = {
    "no JSON": "{ broken",
    "no object": "[]",
    "another object": '{"a": 1}',
    "empty vocabulary": '{"version": "1.0", "added_tokens": [], "normalizer": null, '
    '"pre_tokenizer": null, "post_processor": null, "decoder": null, '
    '"model": {"type": "BPE", "vocab": {}, "merges": []}}',
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_tokenizer_json(tmp_path: Path, case: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(BROKEN[case], "utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(tmp_path, CONFIG)
    assert_one_line(caught.value, file)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", "{ broken"),
        ("vocab.json", "[1]"),
        ("merges.txt", "#version: 0.2\nzzzz qqqq\n"),
        ("merges.txt", "#version: 0.2\none-part\n"),
    ],
)
def test_broken_vocabulary_or_merges(pair: Path, name: str, content: str) -> None:
    (pair / name).write_text(content, "utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(pair, CONFIG)
    assert_one_line(caught.value, pair / name)


@pytest.mark.parametrize("content", ["{ broken", "[]", '{"<a>": "8192"}'])
def test_broken_added_tokens(pair: Path, content: str) -> None:
    (pair / "added_tokens.json").write_text(content, "utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(pair, CONFIG)
    assert_one_line(caught.value, "added_tokens.json")


def test_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(tmp_path / "nothing", CONFIG)
    assert_one_line(caught.value, tmp_path / "nothing")


@pytest.mark.parametrize("name", ["spiece.model", "tokenizer.model", "qwen.tiktoken"])
def test_a_tokenizer_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\n\x0e")
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(tmp_path, CONFIG)
    assert_one_line(caught.value, name, "AutoTokenizer", "--no-tokenizer")


def test_a_class_that_reads_the_files_in_another_way_is_refused(pair: Path) -> None:
    settings = {"tokenizer_class": "RobertaTokenizer"}
    (pair / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(pair, CONFIG)
    assert_one_line(caught.value, "RobertaTokenizer", "AutoTokenizer")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", {"add_prefix_space": "true"}),
        ("tokenizer_config.json", {"tokenizer_class": ["GPT2Tokenizer"]}),
        ("tokenizer_config.json", {"pad_token": 5}),
        ("tokenizer_config.json", {"pad_token": {"text": "x"}}),
        ("tokenizer_config.json", {"additional_special_tokens": "<a>"}),
        ("tokenizer_config.json", {"additional_special_tokens": [["<a>"]]}),
        ("tokenizer_config.json", {"extra_special_tokens": 7}),
        ("tokenizer_config.json", {"added_tokens_decoder": []}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "<a>"}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"8192": "<a>"}}),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"8192": {"content": "<a>", "lstrip": "no"}}},
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": {"9" * 40: {"content": "<a>"}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"8193": {"content": "<a>"}}}),
        ("special_tokens_map.json", {"pad_token": [1]}),
        ("special_tokens_map.json", {"additional_special_tokens": {"a": 1}}),
        ("added_tokens.json", {"<a>": True}),
        ("added_tokens.json", {"<a>": -1}),
        ("added_tokens.json", {"<a>": 2**70}),
        ("added_tokens.json", {f"<{i}>": 8192 + i for i in range(10_001)}),
        ("vocab.json", {"a": "0"}),
        ("vocab.json", {"a": 2**40}),
        ("vocab.json", {"a": True}),
    ],
)
def test_odd_values_are_one_line(pair: Path, name: str, content: object) -> None:
    (pair / name).write_text(json.dumps(content), "utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(pair, CONFIG)
    assert_one_line(caught.value, pair)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "added_tokens.json"])
@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"\x00"])
def test_files_of_bytes_are_one_line(pair: Path, name: str, content: bytes) -> None:
    (pair / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(pair, CONFIG)
    assert_one_line(caught.value, pair / name)


def test_ids_that_tokenizer_json_would_not_give_are_refused(
    sample_checkpoint: Path, tmp_path: Path
) -> None:
    raw = json.loads((sample_checkpoint / "tokenizer.json").read_text("utf-8"))
    raw["added_tokens"].append({**raw["added_tokens"][0], "id": 9000, "content": "<a>"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw), "utf-8")
    try:
        files = read_tokenizer(tmp_path, CONFIG)
    except CheckpointError as error:
        assert_one_line(error, "9000")
    else:  # a library that keeps the id
        assert files is not None
        assert files.largest_id == 9000


def test_a_tokenizer_json_that_makes_the_library_panic_is_one_line(
    sample_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = json.loads((sample_checkpoint / "tokenizer.json").read_text("utf-8"))
    raw["model"]["continuing_subword_prefix"] = "ByteLevel"
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw), "utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(tmp_path, CONFIG)
    assert_one_line(caught.value, tmp_path / "tokenizer.json")
    assert capfd.readouterr() == ("", "")
