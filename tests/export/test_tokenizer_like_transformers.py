"""Every form of tokenizer that a folder may have: ours against what transformers reads there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.tokenizer.files import read_tokenizer

pytestmark = pytest.mark.optimum

SIZE = 8192
SPEC = json.loads((Path(__file__).parents[2] / "spec" / "tokenizers.json").read_text("utf-8"))
BERT = next(item for item in SPEC["tokenizers"] if item["kind"] == "word_piece")["tokenizer"]
UNIGRAM = next(item for item in SPEC["tokenizers"] if item["kind"] == "unigram")["tokenizer"]

TEXTS = (
    "",
    "The animal didn't cross the street because it was too tired .",
    "  two  spaces\n\n\tand a tab , it 's true ! ' x ' they 're",
    "naïve café — “quoted” 12,345 ½ 日本語 🙂 É e\u0301",
    "<|im_start|>user Hello<|im_end|> there [PAD]<pad> <note> x<|endoftext|>The end<|endoftext|>",
    "a <a> b<b>c <s>d</s> [CLS] the CAT [SEP] [MASK] unheardof <A>",
)


def flags(content: str, **given: bool) -> dict[str, Any]:
    names = ("lstrip", "rstrip", "single_word", "normalized", "special")
    return {"content": content, **dict.fromkeys(names, False), **given}


def decoder(*tokens: dict[str, Any], first: int = SIZE) -> dict[str, Any]:
    return {str(first + number): token for number, token in enumerate(tokens)}


IM = ("<|im_start|>", "<|im_end|>")
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}
END = "<|endoftext|>"

Files = dict[str, Any]

# Beside vocab.json and merges.txt, or beside tokenizer.json.
BESIDE: dict[str, Files] = {
    "nothing": {},
    "a class": {"tokenizer_config.json": GPT2},
    "added tokens": {"added_tokens.json": {"<a>": SIZE, "<b>": SIZE + 1}},
    "added tokens that are special": {
        "added_tokens.json": {"[PAD]": SIZE, IM[0]: SIZE + 1, IM[1]: SIZE + 2},
        "special_tokens_map.json": {"pad_token": "[PAD]", "additional_special_tokens": [*IM]},
        "tokenizer_config.json": GPT2,
    },
    "special tokens as objects": {
        "added_tokens.json": {"[PAD]": SIZE, IM[0]: SIZE + 1, IM[1]: SIZE + 2},
        "special_tokens_map.json": {
            "pad_token": flags("[PAD]"),
            "eos_token": flags(END, normalized=True),
            "additional_special_tokens": [flags(IM[0], lstrip=True), flags(IM[1], rstrip=True)],
        },
    },
    "special tokens without added_tokens.json": {
        "special_tokens_map.json": {"pad_token": "<pad>", "additional_special_tokens": [*IM]},
    },
    "special tokens in tokenizer_config.json": {
        "tokenizer_config.json": {**GPT2, "pad_token": "[PAD]", "additional_special_tokens": [*IM]},
    },
    "both": {
        "tokenizer_config.json": {
            **GPT2,
            "pad_token": "[PAD]",
            "additional_special_tokens": ["<a>"],
        },
        "special_tokens_map.json": {"pad_token": "<pad>", "additional_special_tokens": [*IM]},
    },
    "a special token of the vocabulary": {
        "tokenizer_config.json": {**GPT2, "pad_token": END, "additional_special_tokens": ["The"]},
    },
    "a decoder": {
        "tokenizer_config.json": {
            **GPT2,
            "added_tokens_decoder": decoder(
                flags(IM[0], special=True), flags(IM[1], special=True), flags("<note>", lstrip=True)
            ),
        },
    },
    "a decoder wins over the other files": {
        "tokenizer_config.json": {
            **GPT2,
            "added_tokens_decoder": decoder(flags(IM[0], special=True)),
            "eos_token": IM[0],
        },
        "added_tokens.json": {"<a>": SIZE},
        "special_tokens_map.json": {"pad_token": "[PAD]"},
    },
    "a decoder and special tokens that are not in it": {
        "tokenizer_config.json": {
            **GPT2,
            "added_tokens_decoder": decoder(flags("<note>", single_word=True)),
            "pad_token": "[PAD]",
            "additional_special_tokens": ["<a>", "<b>"],
        },
    },
    "a decoder with a token of the vocabulary": {
        "tokenizer_config.json": {
            **GPT2,
            "added_tokens_decoder": {
                "0": flags(END, special=True),
                str(SIZE): flags("<b>", normalized=True, rstrip=True),
            },
        },
    },
    "extra special tokens": {
        "tokenizer_config.json": {**GPT2, "extra_special_tokens": {"image_token": "<a>"}},
    },
    "a space before the text": {"tokenizer_config.json": {**GPT2, "add_prefix_space": True}},
    "a beginning of text": {"tokenizer_config.json": {**GPT2, "add_bos_token": True}},
    "another beginning of text": {
        "tokenizer_config.json": {**GPT2, "add_bos_token": True, "bos_token": "<s>"},
    },
    "a beginning and a space": {
        "tokenizer_config.json": {**GPT2, "add_bos_token": True, "add_prefix_space": True},
        "special_tokens_map.json": {"bos_token": flags("<s>", normalized=True)},
        "added_tokens.json": {"<s>": SIZE},
    },
    "spaces cleaned up": {"tokenizer_config.json": {**GPT2, "clean_up_tokenization_spaces": True}},
    "no special tokens": {
        "tokenizer_config.json": {**GPT2, "bos_token": None, "eos_token": None, "unk_token": None},
    },
    "objects with a type": {
        "tokenizer_config.json": {
            **GPT2,
            "bos_token": {"__type": "AddedToken", **flags("<s>", normalized=True)},
            "eos_token": {"__type": "AddedToken", **flags("</s>", normalized=True)},
        },
    },
    "errors": {"tokenizer_config.json": {**GPT2, "errors": "ignore"}},
    "the fast class": {
        "tokenizer_config.json": {
            "tokenizer_class": "GPT2TokenizerFast",
            "add_prefix_space": True,
            "additional_special_tokens": [*IM],
        },
    },
}


def write(folder: Path, files: Files) -> None:
    for name, content in {"config.json": {"model_type": "gpt2"}, **files}.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")


def pair(sample: Path, folder: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(sample / name, folder / name)


def whole(sample: Path, folder: Path) -> None:
    shutil.copyfile(sample / "tokenizer.json", folder / "tokenizer.json")


def whole_with_space(sample: Path, folder: Path) -> None:
    raw = json.loads((sample / "tokenizer.json").read_text("utf-8"))
    raw["pre_tokenizer"]["add_prefix_space"] = True
    (folder / "tokenizer.json").write_text(json.dumps(raw), "utf-8")


def whole_with_template(sample: Path, folder: Path) -> None:
    raw = json.loads((sample / "tokenizer.json").read_text("utf-8"))
    token = {"SpecialToken": {"id": END, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    raw["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [token, text],
        "pair": [token, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(raw), "utf-8")


FORMS = (pair, whole, whole_with_space, whole_with_template)

# Kinds of their own, complete folders.
VOCABULARY = "".join(f"{token}\n" for token in BERT["model"]["vocab"])
OTHERS: dict[str, Files] = {
    "vocab.txt": {
        "vocab.txt": VOCABULARY,
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer"},
    },
    "vocab.txt with CRLF, cased": {
        "vocab.txt": VOCABULARY.replace("\n", "\r\n"),
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    },
    "vocab.txt, accents kept": {
        "vocab.txt": VOCABULARY,
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizerFast",
            "strip_accents": False,
            "tokenize_chinese_chars": False,
            "clean_up_tokenization_spaces": False,
        },
    },
    "vocab.txt with more tokens": {
        "vocab.txt": VOCABULARY + "</s>\n",
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "bos_token": "<s>"},
        "special_tokens_map.json": {"additional_special_tokens": ["<a>"], "cls_token": "[CLS]"},
        "added_tokens.json": {"<A>": len(BERT["model"]["vocab"]) + 1},
    },
    "BERT's tokenizer.json": {
        "tokenizer.json": BERT,
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer"},
    },
    "BERT's tokenizer.json, cased": {
        "tokenizer.json": BERT,
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": False,
            "clean_up_tokenization_spaces": True,
        },
    },
    "BERT's tokenizer.json in the generic class": {
        "tokenizer.json": BERT,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "[PAD]",
            "additional_special_tokens": ["<note>"],
        },
    },
    "Unigram": {
        "tokenizer.json": UNIGRAM,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": True,
            "eos_token": "</s>",
        },
    },
    "the class named by config.json": {
        "vocab.txt": VOCABULARY,
        "config.json": {"model_type": "gpt2", "tokenizer_class": "BertTokenizer"},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


def compare(source: Path, package: Path) -> None:
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoTokenizer.from_pretrained(str(source))
    config = GPT2Config(9000, 64, 32, 2, 2, 128, bos_token_id=0, eos_token_ids=(0,))
    files = read_tokenizer(source, config)
    assert files is not None
    package.mkdir()
    write(package, files.contents)
    ours = Tokenizer(package / "tokenizer.json")
    again = transformers.AutoTokenizer.from_pretrained(str(package))
    ids: list[int] = []
    for text in TEXTS:
        expected = reference(text)["input_ids"]
        ids += expected
        assert ours.encode(text) == expected, text
        without = reference(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, add_special_tokens=False) == without, text
        plain = reference(text, split_special_tokens=True)["input_ids"]
        assert ours.encode(text, parse_special=False) == plain, text
        assert ours.decode(expected) == reference.decode(expected, skip_special_tokens=True)
        assert again(text)["input_ids"] == expected
        assert again.decode(expected, skip_special_tokens=True) == ours.decode(expected)
    several = [ids, ids[::-1], [*range(0, len(reference), 13)], [*range(SIZE - 3, len(reference))]]
    for ids in several:
        expected_text = reference.decode(ids, skip_special_tokens=True)
        assert ours.decode(ids) == expected_text
        stream = ours.stream()
        assert "".join([*map(stream.push, ids), stream.finish()]) == expected_text
    assert (again.eos_token, again.bos_token) == (reference.eos_token, reference.bos_token)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beside", BESIDE)
def test_byte_level_bpe(
    beside: str,
    form: Callable[[Path, Path], None],
    sample_checkpoint: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    form(sample_checkpoint, folder)
    write(folder, BESIDE[beside])
    compare(folder, tmp_path / "package")


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds(name: str, folder: Path, tmp_path: Path) -> None:
    write(folder, OTHERS[name])
    compare(folder, tmp_path / "package")
