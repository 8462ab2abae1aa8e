"""What a tokenizer class of transformers adds to tokenizer.json: ids as transformers gave them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.errors import CheckpointError
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.tokenizer.classes import CLASSES
from gpt2_edge_export.tokenizer.files import TokenizerFiles, read_tokenizer
from helpers import assert_one_line

SPEC = json.loads((Path(__file__).parents[2] / "spec" / "tokenizers.json").read_text("utf-8"))
OF_KIND = {item["kind"]: item["tokenizer"] for item in SPEC["tokenizers"]}
WORD_PIECE, UNIGRAM = OF_KIND["word_piece"], OF_KIND["unigram"]
SIZE = len(WORD_PIECE["model"]["vocab"])
STREET = 132
WITH_SPACE = [409, 286, 79]  # Hello
END = "<|endoftext|>"
PADDING = {
    "strategy": "BatchLongest",
    "direction": "Left",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "the",
}
CASED = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": False,
}


@pytest.fixture
def byte_level(sample_checkpoint: Path) -> dict[str, Any]:
    """The sample's tokenizer.json."""
    raw: dict[str, Any] = json.loads((sample_checkpoint / "tokenizer.json").read_text("utf-8"))
    return raw


def read(
    folder: Path, raw: dict[str, Any] | str, settings: dict[str, Any], vocab_size: int = 9000
) -> TokenizerFiles:
    """What an export makes of tokenizer.json (or vocab.txt) and tokenizer_config.json."""
    folder.mkdir(exist_ok=True)
    if isinstance(raw, str):
        (folder / "vocab.txt").write_text(raw, "utf-8")
    else:
        (folder / "tokenizer.json").write_text(json.dumps(raw), "utf-8")
    (folder / "config.json").write_text('{"model_type": "gpt2"}', "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    config = GPT2Config(vocab_size, 64, 32, 2, 2, 128, bos_token_id=0, eos_token_ids=(0,))
    files = read_tokenizer(folder, config)
    assert files is not None
    return files


def runtime(folder: Path, files: TokenizerFiles) -> Tokenizer:
    path = folder / "package.json"
    path.write_text(files.contents["tokenizer.json"], "utf-8")
    return Tokenizer(path)


def ids_of(folder: Path, raw: dict[str, Any], text: str, **settings: Any) -> list[int]:
    return runtime(folder, read(folder, raw, settings)).encode(text)


@pytest.mark.parametrize(
    ("settings", "before", "after"),
    [
        ({"tokenizer_class": "LlamaTokenizerFast", "bos_token": END}, [0], []),
        ({"tokenizer_class": "LlamaTokenizer", "bos_token": END, "add_bos_token": False}, [], []),
        (
            {"tokenizer_class": "GemmaTokenizer", "bos_token": END, "eos_token": "The"}
            | {"add_eos_token": True},
            [0],
            [484],
        ),
        ({"tokenizer_class": "GPTNeoXTokenizerFast"}, [], []),
        ({"tokenizer_class": "GPTNeoXTokenizerFast", "add_bos_token": True}, [0], []),
        ({"tokenizer_class": "CohereTokenizerFast", "bos_token": "The"}, [484], []),
        # Of the file's own template, which these classes leave.
        ({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False}, [0], []),
        ({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": False}, [0], []),
    ],
    ids=str,
)
def test_tokens_around_a_text(
    tmp_path: Path,
    byte_level: dict[str, Any],
    settings: dict[str, Any],
    before: list[int],
    after: list[int],
) -> None:
    token = {"SpecialToken": {"id": END, "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    byte_level["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [token, first],
        "pair": [token, first, second],
        "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
    }
    found = ids_of(tmp_path, byte_level, "Hello world", **settings)
    assert found == [*before, 8074, 925, *after]


def test_a_beginning_that_the_vocabulary_has_not(
    tmp_path: Path, byte_level: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, byte_level, {"tokenizer_class": "LlamaTokenizer"}, vocab_size=8192)
    assert_one_line(caught.value, tmp_path, "'<s>'", "not in the vocabulary")


@pytest.mark.parametrize("name", ["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizerFast"])
def test_the_class_says_whether_letters_are_made_small(tmp_path: Path, name: str) -> None:
    cased = WORD_PIECE | {"normalizer": CASED}
    assert ids_of(tmp_path, cased, "THE", tokenizer_class=name) == [2, 66, 3]
    found = ids_of(tmp_path, WORD_PIECE, "THE", tokenizer_class=name, do_lower_case=False)
    assert found == [2, 1, 3]
    # The generic class leaves the file as it is.
    found = ids_of(tmp_path, WORD_PIECE, "THE", tokenizer_class="PreTrainedTokenizerFast")
    assert found == [2, 66, 3]


def test_vocab_txt_of_a_class_like_bert(tmp_path: Path) -> None:
    vocabulary = "".join(f"{token}\n" for token in WORD_PIECE["model"]["vocab"])
    files = read(tmp_path, vocabulary, {"tokenizer_class": "DistilBertTokenizer"})
    ours = runtime(tmp_path, files)
    assert ours.encode("The street.") == [2, 66, STREET, 8, 3]
    assert ours.decode([2, 66, STREET, 8, 3]) == "the street."


def test_special_tokens_of_the_class(tmp_path: Path) -> None:
    """They are special though no file says so, and new ones come in transformers' order."""
    ours = runtime(tmp_path, read(tmp_path, WORD_PIECE, {"tokenizer_class": "XLMRobertaTokenizer"}))
    assert ours.encode("a <mask></s><s><pad><unk>", add_special_tokens=False) == [
        15, SIZE + 4, SIZE + 1, SIZE, SIZE + 3, SIZE + 2,
    ]  # fmt: skip
    assert ours.decode([66, SIZE + 1, STREET, SIZE + 4]) == "the street"


def test_defaults_that_the_model_cannot_take_are_left_out(tmp_path: Path) -> None:
    files = read(tmp_path, WORD_PIECE, {"tokenizer_class": "T5Tokenizer"}, vocab_size=SIZE)
    assert files.largest_id == SIZE - 1
    files = read(tmp_path, WORD_PIECE, {"tokenizer_class": "T5Tokenizer"}, vocab_size=9000)
    assert files.largest_id == SIZE + 102  # </s>, <unk>, <pad> and 100 of <extra_id_0>, ...
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    assert read(tmp_path, WORD_PIECE, settings, vocab_size=9000).largest_id == SIZE + 2
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, WORD_PIECE, {"tokenizer_class": "T5Tokenizer", "extra_ids": 1e9})
    assert_one_line(caught.value, "extra_ids", "1000000000.0")


def test_a_class_that_is_not_known_is_told(tmp_path: Path) -> None:
    files = read(tmp_path, WORD_PIECE, {"tokenizer_class": "MyTokenizer\n"})
    (note,) = files.notes
    assert "tokenizer_class 'MyTokenizer\\n'" in note
    assert "may differ" in note
    for name in CLASSES:
        settings = {"tokenizer_class": f"{name}Fast", "add_bos_token": False}
        assert read(tmp_path, WORD_PIECE, settings).notes == ()


def test_the_token_that_the_file_pads_with_is_special(tmp_path: Path) -> None:
    padded = WORD_PIECE | {"padding": PADDING}

    def text(**settings: Any) -> str:
        return runtime(tmp_path, read(tmp_path, padded, settings)).decode([66, STREET])

    assert text(tokenizer_class="PreTrainedTokenizerFast") == "street"
    # Unless something else names the one to pad with: the settings, or the class.
    assert text(tokenizer_class="PreTrainedTokenizerFast", pad_token=None) == "the street"
    assert text(tokenizer_class="BertTokenizer") == "the street"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [8074]),
        ({"add_prefix_space": None}, [409, 286, 79]),
        ({"add_prefix_space": True}, [409, 286, 79]),
        ({"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}, [409, 286, 79]),
    ],
    ids=str,
)
def test_a_space_before_the_text_that_is_null(
    tmp_path: Path,
    byte_level: dict[str, Any],
    settings: dict[str, Any],
    expected: list[int],
) -> None:
    """null leaves what tokenizer.json says."""
    byte_level["pre_tokenizer"]["add_prefix_space"] = True
    settings = {"tokenizer_class": "GPT2Tokenizer"} | settings
    assert ids_of(tmp_path, byte_level, "Hello", **settings) == expected


def test_a_token_that_only_tokenizer_json_calls_special_stays_so(tmp_path: Path) -> None:
    raw = copy.deepcopy(WORD_PIECE)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    raw["added_tokens"].append({"id": SIZE, "content": "<a>", "special": True, **flags})
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {str(SIZE): {"content": "<a>", "special": False, **flags}},
    }
    ours = runtime(tmp_path, read(tmp_path, raw, settings))
    assert ours.decode([66, SIZE, STREET]) == "the street"
    assert SIZE not in ours.encode("<a>", parse_special=False)


@pytest.mark.parametrize(
    "named",
    [
        {"additional_special_tokens": ["</s>"]},
        {"extra_special_tokens": {"end_of_turn": "</s>"}},
        {"eos_token": "</s>"},
        {"tokenizer_class": "XLMRobertaTokenizer"},
    ],
    ids=str,
)
@pytest.mark.parametrize("decoder", [True, False])
def test_a_token_is_special_that_only_the_settings_call_so(
    tmp_path: Path, named: dict[str, Any], decoder: bool
) -> None:
    """Whether or not added_tokens_decoder repeats what tokenizer.json says of it."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    raw = copy.deepcopy(WORD_PIECE)
    raw["added_tokens"].append({"id": SIZE, "content": "</s>", **flags})
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"} | named
    if decoder:
        settings["added_tokens_decoder"] = {str(SIZE): {"content": "</s>", **flags}}
    ours = runtime(tmp_path, read(tmp_path, raw, settings))
    assert ours.decode([66, SIZE, STREET]) == "the street"
    assert SIZE not in ours.encode("</s>", parse_special=False)


BESIDE: tuple[dict[str, Any], ...] = (
    {},
    {"bos_token": "a", "eos_token": "b", "pad_token": "<p>", "mask_token": "<m>"},
    {"bos_token": "a", "eos_token": "b", "add_bos_token": True, "add_eos_token": True},
    {"do_lower_case": False, "strip_accents": True},
    {"add_prefix_space": None, "add_bos_token": False, "clean_up_tokenization_spaces": True},
)
TEXTS = (
    "The animal didn't cross the street because it was too tired .",
    "naïve CAFÉ — “quoted” 12,345 ½ 日本語 🙂",
    "a  <mask>  <m> b<unk>c <s>d</s> <pad><p> [CLS] the [MASK] <extra_id_1> <|endoftext|> <bos>",
)


@pytest.mark.optimum
@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"TokenizersBackend"}))
def test_like_transformers(tmp_path: Path, byte_level: dict[str, Any], name: str) -> None:
    transformers = pytest.importorskip("transformers")
    cases = [(raw, more) for raw in (WORD_PIECE, UNIGRAM, byte_level) for more in BESIDE]
    if CLASSES[name].deep_prefix:
        steps = [{"type": "Digits", "individual_digits": True}, byte_level["pre_tokenizer"]]
        split = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}
        cases += [(byte_level | split, {"add_prefix_space": space}) for space in (True, False)]
    for number, (raw, more) in enumerate(cases):
        if CLASSES[name].bert and raw["normalizer"] is None:
            continue  # transformers fails
        if name == "CodeGenTokenizer" and more.get("add_bos_token"):
            continue  # refused there
        folder = tmp_path / str(number)
        ours = runtime(folder, read(folder, raw, {"tokenizer_class": f"{name}Fast", **more}))
        theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
        for text in TEXTS:
            ids = theirs(text)["input_ids"]
            assert ours.encode(text) == ids, (number, more)
            assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True), (number, more)
