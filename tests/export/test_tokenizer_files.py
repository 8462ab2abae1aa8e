"""The tokenizer that goes into a package, from each form in which checkpoints have one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from gpt2_edge import Generator
from gpt2_edge.errors import CheckpointError
from gpt2_edge.text.tokenizer import Tokenizer as RuntimeTokenizer
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.tokenizer.files import TokenizerFiles, read_tokenizer
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


def test_special_tokens_of_the_class_are_written_down(pair: Path) -> None:
    """For what reads tokenizer_config.json and has no such classes, as chat templates do."""
    settings = {"tokenizer_class": "GPT2Tokenizer", "unk_token": None}
    (pair / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    written = json.loads(read(pair).contents["tokenizer_config.json"])
    end = "<|endoftext|>"
    assert written == settings | {"bos_token": end, "eos_token": end}


def test_a_chat_template_of_its_own_file_is_taken_over(pair: Path) -> None:
    settings = {"tokenizer_class": "GPT2Tokenizer", "chat_template": "old"}
    (pair / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    assert json.loads(read(pair).contents["tokenizer_config.json"])["chat_template"] == "old"
    template = "{% for message in messages %}é{% endfor %}"
    (pair / "chat_template.jinja").write_text(template, "utf-8")
    assert json.loads(read(pair).contents["tokenizer_config.json"])["chat_template"] == template
    (pair / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match=r"chat_template.jinja cannot be read: byte 0"):
        read(pair)


def test_settings_are_made_up_where_there_are_none(pair: Path) -> None:
    settings = json.loads(read(pair).contents["tokenizer_config.json"])
    assert settings["tokenizer_class"] == "GPT2Tokenizer"
    assert settings["model_max_length"] == 64
    assert settings["eos_token"] == settings["bos_token"] == "<|endoftext|>"


def test_folder_without_a_tokenizer(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path, CONFIG) is None
    (tmp_path / "vocab.json").write_text("{}", "utf-8")  # the merges are missing
    assert read_tokenizer(tmp_path, CONFIG) is None


# What transformers 4.57.6 gives; test_tokenizer_like_transformers.py compares many more with it.
IM = {"<|im_start|>": 8193, "<|im_end|>": 8194}
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}


def runtime(folder: Path, files: dict[str, Any], config: GPT2Config = CONFIG) -> RuntimeTokenizer:
    """The tokenizer that a package gets from `folder` with these files."""
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    exported = read_tokenizer(folder, config)
    assert exported is not None
    path = folder / "exported.json"
    return RuntimeTokenizer(path, exported.contents["tokenizer.json"].encode())


def test_special_tokens_of_special_tokens_map_are_not_shown(pair: Path) -> None:
    tokenizer = runtime(
        pair,
        {
            "added_tokens.json": {"[PAD]": 8192, **IM},
            "special_tokens_map.json": {
                "pad_token": "[PAD]",
                "additional_special_tokens": list(IM),
            },
        },
    )
    ids = tokenizer.encode("<|im_start|>user Hello<|im_end|> there")
    assert ids[0] == 8193
    assert tokenizer.decode(ids) == "user Hello there"
    assert tokenizer.decode([8194]) == ""


def test_tokens_of_the_decoder_are_not_split(pair: Path) -> None:
    token = {"content": "<|im_start|>", "special": True, "normalized": False}
    settings = {**GPT2, "added_tokens_decoder": {"8192": token}}
    tokenizer = runtime(pair, {"tokenizer_config.json": settings})
    assert tokenizer.encode("<|im_start|>user") == [8192, 425, 269]
    assert tokenizer.decode([8192, 425, 269]) == "user"


def test_a_space_before_the_text(pair: Path) -> None:
    settings = {**GPT2, "add_prefix_space": True}
    tokenizer = runtime(pair, {"tokenizer_config.json": settings})
    assert tokenizer.encode("Hello world") == [409, 286, 79, 925]


def test_a_beginning_of_text(pair: Path) -> None:
    tokenizer = runtime(pair, {"tokenizer_config.json": {**GPT2, "add_bos_token": True}})
    assert tokenizer.encode("Hello world") == [0, 8074, 925]
    assert tokenizer.encode("Hello world", add_special_tokens=False) == [8074, 925]


def test_spaces_are_cleaned_up_where_transformers_does(pair: Path) -> None:
    text = "It 's true , isn 't it ? ' yes ' !"
    settings = {**GPT2, "clean_up_tokenization_spaces": True}
    tokenizer = runtime(pair, {"tokenizer_config.json": settings})
    assert tokenizer.decode(tokenizer.encode(text)) == "It's true, isn 't it?'yes '!"
    exported = read(pair).contents["tokenizer_config.json"]
    assert json.loads(exported)["clean_up_tokenization_spaces"] is False  # not twice
    (pair / "tokenizer_config.json").unlink()
    assert runtime(pair, {}).decode(tokenizer.encode(text)) == text


SPEC = json.loads((Path(__file__).parents[2] / "spec" / "tokenizers.json").read_text("utf-8"))
BERT = next(item for item in SPEC["tokenizers"] if item["kind"] == "word_piece")


def test_vocab_txt_of_bert(tmp_path: Path) -> None:
    vocabulary = BERT["tokenizer"]["model"]["vocab"]
    lines = sorted(vocabulary, key=vocabulary.__getitem__)
    (tmp_path / "vocab.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    tokenizer = runtime(tmp_path, {})
    for case in BERT["encode"]:
        assert tokenizer.encode(case["text"]) == case["ids"]
    settings = json.loads(read(tmp_path).contents["tokenizer_config.json"])
    assert settings["tokenizer_class"] == "BertTokenizer"
    assert settings["sep_token"] == "[SEP]"


def test_a_default_token_that_the_model_cannot_take_is_not_added(tmp_path: Path) -> None:
    vocabulary = {"a": 0, "b": 1, "ab": 2}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n", "utf-8")
    small = GPT2Config(3, 64, 32, 2, 2, 128)
    assert runtime(tmp_path, {}, small).vocab_size == 3
    larger = GPT2Config(4, 64, 32, 2, 2, 128)
    assert runtime(tmp_path, {}, larger).encode("<|endoftext|>") == [3]  # as transformers


def test_merges_without_a_version_line_lose_nothing(sample_checkpoint: Path, pair: Path) -> None:
    expected = load(pair).encode(TEXTS[0]).ids
    text = (pair / "merges.txt").read_text("utf-8")
    (pair / "merges.txt").write_bytes(text.split("\n", 1)[1].replace("\n", "\r\n").encode())
    assert load(pair).encode(TEXTS[0]).ids == expected


def test_merges_with_a_byte_order_mark(pair: Path) -> None:
    expected = load(pair).encode(TEXTS[0]).ids
    merges = (pair / "merges.txt").read_text("utf-8")
    for content in (merges, merges.partition("\n")[2]):
        (pair / "merges.txt").write_text(f"\ufeff{content}", "utf-8")
        assert load(pair).encode(TEXTS[0]).ids == expected


def test_a_tokenizer_json_for_each_version_is_noted(sample_checkpoint: Path, pair: Path) -> None:
    shutil.copyfile(sample_checkpoint / "tokenizer.json", pair / "tokenizer.json")
    for versions, count in (
        (["tokenizer.4.0.0.json", "tokenizer.json"], 1),
        (["tokenizer.json"], 0),
    ):
        settings = {"tokenizer_class": "GPT2Tokenizer", "fast_tokenizer_files": versions}
        (pair / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
        notes = read(pair).notes
        assert ["tokenizer.4.0.0.json" in note for note in notes] == [True] * count


def test_what_tokenizer_json_cannot_say_is_noted(pair: Path) -> None:
    settings = {**GPT2, "split_special_tokens": True}
    (pair / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (note,) = read(pair).notes
    assert "split_special_tokens" in note


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
