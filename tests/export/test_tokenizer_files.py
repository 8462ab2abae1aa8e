"""The tokenizer that goes into a package, from each form in which checkpoints have one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from gpt2_edge import Generator
from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.config import GPT2Config
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.tokenizer_files import TokenizerFiles, read_tokenizer
from helpers import assert_one_line, random_config, write_random_checkpoint

CONFIG = GPT2Config(8192, 64, 32, 2, 2, 128, bos_token_id=0, eos_token_ids=(0,))
TEXTS = (
    "The animal didn't cross the street because it was too tired.",
    "  two  spaces\n\n\tand a tab ",
    "naïve café — “quoted” 12,345 ½ 日本語 🙂",
    "<|endoftext|>The end<|endoftext|>",
    "'ll 've 're 'S don'T",
    "",
)


def read(path: Path) -> TokenizerFiles:
    tokenizer = read_tokenizer(path, CONFIG)
    assert tokenizer is not None
    return tokenizer


def load(path: Path) -> Tokenizer:
    return Tokenizer.from_str(read(path).contents["tokenizer.json"])


@pytest.fixture
def pair(sample_checkpoint: Path, tmp_path: Path) -> Path:
    """A folder with the sample's vocab.json and merges.txt only."""
    folder = tmp_path / "pair"
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(sample_checkpoint / name, folder / name)
    return folder


@pytest.mark.parametrize("text", TEXTS)
def test_vocabulary_and_merges_give_the_ids_of_tokenizer_json(
    sample_checkpoint: Path, pair: Path, text: str
) -> None:
    built, whole = load(pair), Tokenizer.from_file(str(sample_checkpoint / "tokenizer.json"))
    ids = whole.encode(text).ids
    assert built.encode(text).ids == ids
    for skip in (True, False):
        assert built.decode(ids, skip_special_tokens=skip) == whole.decode(
            ids, skip_special_tokens=skip
        )


def test_names_of_openai_are_known(pair: Path) -> None:
    expected = load(pair).encode(TEXTS[0]).ids
    (pair / "vocab.json").rename(pair / "encoder.json")
    (pair / "merges.txt").rename(pair / "vocab.bpe")
    assert load(pair).encode(TEXTS[0]).ids == expected


@pytest.mark.shared
def test_openai_vocabulary_gives_published_ids(shared_data: Path) -> None:
    folder = shared_data / "data" / "tokenizer"
    tokenizer = load(folder)
    vectors = json.loads((folder / "vectors.json").read_text("utf-8"))
    items = vectors if isinstance(vectors, list) else vectors["vectors"]
    assert len(items) > 40
    for item in items:
        assert tokenizer.encode(item["text"]).ids == item["ids"], item["text"]


def test_tokenizer_json_comes_first(sample_checkpoint: Path, pair: Path) -> None:
    shutil.copyfile(sample_checkpoint / "tokenizer.json", pair / "tokenizer.json")
    (pair / "vocab.json").write_text("{ broken", "utf-8")
    assert read(pair).largest_id == 8191


def test_file_of_any_name(sample_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copyfile(sample_checkpoint / "tokenizer.json", tmp_path / "my-tokens.json")
    assert read(tmp_path / "my-tokens.json").largest_id == 8191


def test_added_tokens_get_their_ids(pair: Path) -> None:
    (pair / "added_tokens.json").write_text('{"<b>": 8193, "<a>": 8192}', "utf-8")
    tokenizer = load(pair)
    assert tokenizer.encode("<a>x<b>").ids[::2] == [8192, 8193]
    assert read(pair).largest_id == 8193


def test_added_tokens_beyond_a_gap_are_not_renumbered(pair: Path) -> None:
    (pair / "added_tokens.json").write_text('{"<a>": 9000}', "utf-8")
    try:
        tokenizer = load(pair)
    except CheckpointError as error:
        assert_one_line(error, "added_tokens.json")
    else:
        assert tokenizer.token_to_id("<a>") == 9000


def test_end_of_text_among_the_added_tokens_stays_special(pair: Path) -> None:
    (pair / "added_tokens.json").write_text('{"<|endoftext|>": 0}', "utf-8")
    tokenizer = load(pair)
    assert tokenizer.encode("<|endoftext|>").ids == [0]
    assert tokenizer.decode([0], skip_special_tokens=True) == ""


def test_settings_are_those_of_the_source(sample_checkpoint: Path) -> None:
    settings = json.loads(read(sample_checkpoint).contents["tokenizer_config.json"])
    source = (sample_checkpoint / "tokenizer_config.json").read_text("utf-8")
    assert settings == json.loads(source)


def test_settings_are_made_up_where_there_are_none(pair: Path) -> None:
    settings = json.loads(read(pair).contents["tokenizer_config.json"])
    assert settings["tokenizer_class"] == "GPT2Tokenizer"
    assert settings["model_max_length"] == 64
    assert settings["eos_token"] == settings["bos_token"] == "<|endoftext|>"


def test_folder_without_a_tokenizer(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path, CONFIG) is None
    (tmp_path / "vocab.json").write_text("{}", "utf-8")  # the merges are missing
    assert read_tokenizer(tmp_path, CONFIG) is None


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


class TestExport:
    """The same by way of export_package."""

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        """Random weights of the sample's vocabulary, without a tokenizer."""
        return write_random_checkpoint(tmp_path / "checkpoint", random_config(vocab_size=8192))

    @pytest.mark.parametrize("name", ["", "tokenizer.json"])
    def test_tokenizer_from_elsewhere(
        self, checkpoint: Path, tmp_path: Path, sample_checkpoint: Path, name: str
    ) -> None:
        options = ExportOptions(tokenizer=sample_checkpoint / name, calibration=False, report=False)
        report = export_package(checkpoint, tmp_path / "package", options)
        assert report.notes == ()
        generator = Generator.load(report.package.folder)
        whole = Tokenizer.from_file(str(sample_checkpoint / "tokenizer.json"))
        assert generator.encode(TEXTS[0]) == whole.encode(TEXTS[0]).ids

    def test_no_tokenizer_is_an_error_that_says_what_to_do(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(CheckpointError) as caught:
            export_package(checkpoint, tmp_path / "package")
        assert_one_line(caught.value, checkpoint, "--tokenizer", "--no-tokenizer")
        assert not (tmp_path / "package").exists()

    def test_package_of_ids(self, checkpoint: Path, tmp_path: Path) -> None:
        options = ExportOptions(tokenizer=False)
        package = export_package(checkpoint, tmp_path / "package", options).package
        assert package.manifest.tokenizer is None
        assert not list(package.folder.glob("tokenizer*"))
        result = Generator.load(package.folder).generate([1, 2, 3])
        assert result.text is None
        assert result.ids

    def test_tokenizer_beside_the_weights_can_be_left_out(
        self, sample_checkpoint: Path, tmp_path: Path
    ) -> None:
        options = ExportOptions(tokenizer=False)
        package = export_package(sample_checkpoint, tmp_path / "package", options).package
        assert package.manifest.tokenizer is None
        assert not list(package.folder.glob("tokenizer*"))

    def test_vocabulary_smaller_than_the_tokenizer_is_noted(
        self, tmp_path: Path, sample_checkpoint: Path
    ) -> None:
        checkpoint = write_random_checkpoint(tmp_path / "checkpoint", random_config())
        options = ExportOptions(tokenizer=sample_checkpoint, calibration=False, report=False)
        report = export_package(checkpoint, tmp_path / "package", options)
        (note,) = report.notes
        assert "8191" in note
        assert "100" in note
