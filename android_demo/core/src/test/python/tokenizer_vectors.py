"""Tokenizers of many kinds, and what Hugging Face tokenizers does with fuzzed texts and ids."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from gpt2_edge.text.tokenizer import Tokenizer as RuntimeTokenizer
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.tokenizer.files import read_tokenizer

_FUZZED = 300
_PLAIN = [
    "",
    " ",
    "  ",
    "\n",
    "Hello world",
    "I'll've they're it's we'd I'm don't 'S 'LL ''s 'r 're'",
    "  two  spaces \t tab\n\n newline \r\n",
    "end with spaces   ",
    "x" * 3000,
    "ab" * 2000 + " " * 500,
    "2024-01-01 ½ ² ٣ Ⅷ",
    "naïve café — “quoted” … ",
    "生活、ありがとう 안녕하세요 שלום مرحبا हिन्दी",
    "👩‍👩‍👧‍👦 🙂🏽 ☕️ 🇩🇪 \U0001f9ff",
    "a\u0301 \u200d \u00a0\u2003\u3000 \ufeff \u0085 \u180e",
    "\x00\x01\x7f\x80\u00ad",
    "<|endoftext|>",
    "one<|endoftext|> two <|endoftext|><|endoftext|>",
    "<|endoftext|",
]
_PIECES = [
    "'s",
    "'ll",
    "'",
    " ",
    "  ",
    "\n",
    "\t",
    "<|endoftext|>",
    "<tag>",
    "<tag",
    "café",
    "ing",
    "the",
]


def vectors(
    folder: Path, sample: Path, shared: Path | None, source: random.Random
) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, content in kinds(sample, shared):
        path = folder / f"{name}.json"
        path.write_text(content, encoding="utf-8")
        found.append(cases(name, path, source))
        if name == "gpt2" and shared is not None:
            published = json.loads((shared / "data/tokenizer/vectors.json").read_text("utf-8"))
            found[-1]["encode"] += [{"text": v["text"], "ids": v["ids"]} for v in published]
    return found


def kinds(sample: Path, shared: Path | None) -> Iterator[tuple[str, str]]:
    content = (sample / "tokenizer.json").read_text("utf-8")
    yield "sample", content
    if shared is not None:
        yield "gpt2", gpt2(shared / "data" / "tokenizer")
    yield "pairs-without-spaces", changed(content, merges_as_pairs)
    yield "vocabulary-after-merges", changed(content, vocabulary_last)
    yield "prefix-space", changed(content, set_pre_tokenizer("add_prefix_space", True))
    yield "without-pattern", changed(content, set_pre_tokenizer("use_regex", False))
    yield "in-sequences", changed(content, in_sequences)
    yield "ignore-merges", changed(content, set_model("ignore_merges", True))
    yield "added-tokens", with_added_tokens(content)
    yield (
        "prefix-space-added-tokens",
        changed(with_added_tokens(content), set_pre_tokenizer("add_prefix_space", True)),
    )
    yield "template", changed(with_added_tokens(content), set_post_processor(_TEMPLATE))
    yield "roberta", changed(content, set_post_processor(_ROBERTA))
    yield "post-processors", changed(content, set_post_processor(_PROCESSORS))
    yield "replacing", changed(content, replacing)
    yield "few-characters", few_characters(None)
    yield "few-characters-unknown", few_characters("?")
    yield "few-characters-unknown-fused", changed(few_characters("?"), set_model("fuse_unk", True))


def gpt2(folder: Path) -> str:
    config = GPT2Config(
        vocab_size=50257,
        n_positions=1024,
        n_embd=768,
        n_layer=12,
        n_head=12,
        n_inner=3072,
        bos_token_id=50256,
        eos_token_ids=(50256,),
    )
    files = read_tokenizer(folder, config)
    assert files is not None
    return files.contents["tokenizer.json"]


def changed(content: str, change: Callable[[dict[str, Any]], None]) -> str:
    raw = json.loads(content)
    change(raw)
    return json.dumps(raw)  # with \u escapes, unlike the library's own files


def merges_as_pairs(raw: dict[str, Any]) -> None:
    merges = raw["model"]["merges"]
    as_strings = isinstance(merges[0], str)
    raw["model"]["merges"] = [m.split(" ") if as_strings else " ".join(m) for m in merges]


def vocabulary_last(raw: dict[str, Any]) -> None:
    raw["model"]["vocab"] = raw["model"].pop("vocab")


def set_pre_tokenizer(key: str, value: bool) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw["pre_tokenizer"].update({key: value})


def set_model(key: str, value: bool) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw["model"].update({key: value})


def set_post_processor(processor: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw.update(post_processor=processor)


_TEMPLATE: dict[str, Any] = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "begin", "type_id": 0}},
        {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "<|endoftext|>", "type_id": 1}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {
        "begin": {"id": "begin", "ids": [5, 6], "tokens": ["a", "b"]},
        "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]},
    },
}
_ROBERTA: dict[str, Any] = {
    "type": "RobertaProcessing",
    "sep": ["a", 7],
    "cls": ["b", 8],
    "trim_offsets": True,
    "add_prefix_space": False,
}
_PROCESSORS: dict[str, Any] = {
    "type": "Sequence",
    "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "BertProcessing", "sep": ["c", 9], "cls": ["d", 10]},
        _TEMPLATE,
    ],
}


def replacing(raw: dict[str, Any]) -> None:
    """Decoders that replace texts which overlap, and what one of them made."""
    pairs = [(" t", "T"), ("aa", "a"), ("aTa", "é"), ("\ufffd", "?"), ("the", "")]
    replace = [{"type": "Replace", "pattern": {"String": a}, "content": b} for a, b in pairs]
    raw["decoder"] = {"type": "Sequence", "decoders": [raw["decoder"], *replace]}


def in_sequences(raw: dict[str, Any]) -> None:
    raw["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [raw["pre_tokenizer"]]}
    raw["decoder"] = {"type": "Sequence", "decoders": [raw["decoder"]]}
    raw["normalizer"] = {"type": "Sequence", "normalizers": []}
    raw["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }


def with_added_tokens(content: str) -> str:
    library = Tokenizer.from_str(content)
    library.add_tokens(
        [
            AddedToken("<tag>", normalized=False),
            AddedToken("<tag> <tag>", normalized=False),
            AddedToken("the", single_word=True),
            AddedToken("café", normalized=True),
            AddedToken("[L]", lstrip=True, normalized=False),
            AddedToken("[R]", rstrip=True, normalized=True),
            AddedToken("[LR]", lstrip=True, rstrip=True, normalized=False),
            AddedToken(" x", normalized=True),
            AddedToken("🙂", normalized=False),
        ]
    )
    library.add_special_tokens(
        [AddedToken("<|im_start|>"), AddedToken("<|im|>", single_word=True, rstrip=True)]
    )
    return library.to_str()


def few_characters(unknown: str | None) -> str:
    """A vocabulary without most bytes."""
    vocabulary = ["?", "a", "b", "c", "Ġ", "ab", "abc", "Ġa", "??", "'", "s"]
    library = Tokenizer(
        models.BPE(
            {token: number for number, token in enumerate(vocabulary)},
            [("a", "b"), ("ab", "c"), ("Ġ", "a"), ("?", "?")],
            unk_token=unknown,
        )
    )
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    return library.to_str()


def cases(name: str, path: Path, source: random.Random) -> dict[str, Any]:
    library = Tokenizer.from_file(str(path))
    library.no_truncation()
    runtime = RuntimeTokenizer(path)
    added = [token.content for token in library.get_added_tokens_decoder().values()]
    texts = [*_PLAIN, *(fuzzed(source, added) for _ in range(_FUZZED))]
    plain = Tokenizer.from_file(str(path))
    plain.no_truncation()
    plain.encode_special_tokens = True
    encoded = [
        {
            "text": text,
            "ids": library.encode(text).ids,
            "without_special": library.encode(text, add_special_tokens=False).ids,
            "plain": plain.encode(text).ids,
        }
        for text in texts
    ]
    size = library.get_vocab_size()
    # Behind a sequence the Python runtime leaves the cutting to the library; the text is equal.
    cut_alike = json.loads(path.read_text("utf-8"))["decoder"]["type"] == "ByteLevel"
    decoded = []
    for _ in range(_FUZZED):
        # Ids below 300 are single bytes for the most part: cut characters and invalid UTF-8.
        ids = [source.choice([source.randrange(300), source.randrange(size + 3)]) for _ in range(9)]
        ids = ids[: source.randint(0, 9)]
        stream = runtime.stream()
        pieces = [*(stream.push(token_id) for token_id in ids), stream.finish()]
        text = library.decode([i for i in ids if i < size], skip_special_tokens=True)
        assert not cut_alike or "".join(pieces) == text
        # Python waits for the third byte of an encoded surrogate, though two are wrong already.
        comparable = cut_alike and "\ufffd\ufffd" not in text
        decoded.append({"ids": ids, "text": text, "pieces": pieces if comparable else None})
    labels = [runtime.label(token_id) for token_id in range(min(size, 400))]
    assert not cut_alike or sum(one["pieces"] is not None for one in decoded) > _FUZZED / 3
    return {
        "name": name,
        "file": str(path),
        "encode": encoded,
        "decode": decoded,
        "labels": labels,
    }


def fuzzed(source: random.Random, added: list[str]) -> str:
    return "".join(one_piece(source, added) for _ in range(source.randint(0, 30)))


def one_piece(source: random.Random, added: list[str]) -> str:
    choice = source.random()
    if choice < 0.25:
        return source.choice(_PIECES)
    if choice < 0.35 and added:
        return source.choice(added)
    if choice < 0.6:
        return chr(source.randrange(0x20, 0x7F))
    if choice < 0.7:
        return chr(source.randrange(0x250))
    if choice < 0.8:
        return source.choice(_SPACES)
    while True:
        point = source.randrange(0x11_0000 if choice > 0.95 else 0x3_0000)
        if not 0xD800 <= point < 0xE000:
            return chr(point)


_SPACES = [
    chr(p) for p in range(0x3001) if chr(p).isspace() or unicodedata.category(chr(p)) == "Cf"
]
