"""GPT-2's tokenizer in Python alone beside the tokenizers library: the same ids and offsets."""

from __future__ import annotations

import importlib.util
import json
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from gpt2_edge import PackageError
from gpt2_edge.text import backend
from gpt2_edge.text.byte_level import unicode_classes
from gpt2_edge.text.byte_level.tokenizer import ByteLevelTokenizer
from gpt2_edge.text.byte_level.words import word_pattern
from gpt2_edge.text.library_tokenizer import LibraryTokenizer
from gpt2_edge.text.tokenizer import Tokenizer
from helpers import assert_one_line

ROOT = Path(__file__).parents[2]
SPEC = json.loads((ROOT / "spec" / "tokenizers.json").read_text("utf-8"))["tokenizers"]
# Up to 0.21 the library's classes are those of Unicode 14.
UNICODE_16 = tuple(map(int, tokenizers.__version__.split(".")[:2])) >= (0, 22)
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def android_kinds() -> dict[str, str]:
    """The tokenizers that the Kotlin one is tested with, as tokenizer.json."""
    file = ROOT / "android_demo/core/src/test/python/tokenizer_vectors.py"
    spec = importlib.util.spec_from_file_location("tokenizer_vectors", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.kinds(ROOT / "models" / "sample", None))


def added(number: int, content: str, **flags: bool) -> dict[str, Any]:
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"id": number, "content": content, **dict.fromkeys(names, False), **flags}


# Words of every class, spaces that Python and the library see differently, and the added tokens.
PIECES = (
    *("'s", "'t", "'ll", "'LL", "''", "'", " ", "  ", "\n", "\t", "\r\n", "\x0b", "\x0c", "\x1c"),
    *("\x1f", "\x85", "\xa0", "\u1680", "\u180e", "\u2003", "\u2028", "\u200b", "\u3000", "\ufeff"),
    *(
        "the",
        "ing",
        "Été",
        "ǅ",
        "ʰ",
        "ª",
        "中文",
        "ي",
        "ß",
        "\u0301",
        "12",
        "½",
        "Ⅷ",
        "٣",
        "一",
        "²",
    ),
    *(
        "🙂",
        "👩‍👩‍👧",
        "_",
        "-",
        ".",
        "\x00",
        "\U000e0100",
        "Ġ",
        "<|endoftext|>",
        "<tag>",
        "<tag",
        "tag",
    ),
    *("<l>", "<r>", "<lr>", "<w>", "<n>", "<nlrw>", " sp", "<|end", "a<w>", "<w>b", "?"),
)
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs", "Cn"]), max_size=20
).map("".join)

FLAGS = [
    added(9001, "<l>", lstrip=True),
    added(9002, "<r>", rstrip=True),
    added(9003, "<lr>", lstrip=True, rstrip=True, special=True),
    added(9004, "<w>", single_word=True),
    added(9005, "<n>", normalized=True),
    added(9006, "<nlrw>", normalized=True, lstrip=True, rstrip=True, single_word=True),
    added(9007, " sp", normalized=True),
    added(9008, "<tag>", special=True, single_word=True, lstrip=True),
    added(9009, "<tag", special=True),
    added(9010, "tag", normalized=True, rstrip=True),
    added(9011, "中", special=True, normalized=True),
]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
END = ["<|endoftext|>", 0]
POST_PROCESSORS: list[dict[str, Any] | None] = [
    None,
    BYTE_LEVEL,
    BYTE_LEVEL | {"trim_offsets": False},
    BYTE_LEVEL | {"add_prefix_space": False},
    {"type": "RobertaProcessing", "sep": END, "cls": END, "trim_offsets": True}
    | {"add_prefix_space": True},
    {"type": "BertProcessing", "sep": END, "cls": END},
]


def with_all_flags(
    prefix: bool, splits: bool, post_processor: dict[str, Any] | None, **model: Any
) -> str:
    raw = json.loads((ROOT / "models" / "sample" / "tokenizer.json").read_text("utf-8"))
    first = len(raw["model"]["vocab"])
    renumbered = [token | {"id": first + n} for n, token in enumerate(FLAGS)]
    raw["added_tokens"] = [*raw["added_tokens"], *renumbered]
    raw["pre_tokenizer"] |= {"add_prefix_space": prefix, "use_regex": splits}
    raw["post_processor"] = post_processor
    raw["model"] |= model
    return json.dumps(raw)


@cache
def contents() -> dict[str, str]:
    found = android_kinds()
    for item in SPEC:
        if item["kind"] == "byte_level_bpe":
            found[f"spec: {item['name']}"] = json.dumps(item["tokenizer"])
    for number, post in enumerate(POST_PROCESSORS):
        found[f"all flags, post-processor {number}"] = with_all_flags(number % 2 == 0, True, post)
    found["all flags, no pattern"] = with_all_flags(True, False, BYTE_LEVEL)
    found["all flags, ignore merges"] = with_all_flags(True, True, None, ignore_merges=True)
    return found


Pair = tuple[ByteLevelTokenizer, LibraryTokenizer]


@cache
def pair_of(name: str) -> Pair:
    content = contents()[name].encode()
    return ByteLevelTokenizer(content), LibraryTokenizer(content)


@pytest.fixture(scope="module", params=list(contents()))
def pair(request: pytest.FixtureRequest) -> Pair:
    return pair_of(request.param)


def assert_same(pair: Pair, text: str) -> None:
    ours, library = pair
    for special in (True, False):
        for parsed in (True, False):
            ids = library.encode(text, special, parsed)
            assert ours.encode(text, special, parsed) == ids, text
            expected = library.encode_with_offsets(text, special, parsed)
            assert ours.encode_with_offsets(text, special, parsed) == expected, text


def test_what_the_file_says(pair: Pair) -> None:
    ours, library = pair
    assert ours.vocabulary() == library.vocabulary()
    assert ours.size == library.size
    assert ours.added == library.added
    assert ours.special == library.special
    ids = [*range(400), ours.size - 1, ours.size, 2**31, 2**40]
    assert [*map(ours.token_of, ids)] == [*map(library.token_of, ids)]


@seed(15)
@settings(max_examples=60, deadline=None, database=None)
@given(text=TEXTS)
def test_fuzzed_text(pair: Pair, text: str) -> None:
    assert_same(pair, text)


def test_long_texts(pair: Pair) -> None:
    source = random.Random(15)
    assert_same(pair, "".join(source.choices([*PIECES, "word", " word"], k=3000)))
    for text in ("a" * 5000, " " * 5000, "ab" * 3000, "\u3000" * 2000 + "x", "🙂" * 1000):
        assert_same(pair, text)


def known_characters() -> list[str]:
    return CHARACTERS if UNICODE_16 else [c for c in CHARACTERS if c.isprintable()]


def test_every_character_is_of_the_library_s_class() -> None:
    # Letters stay with the a, numbers with the 1, others with the full stop, and white space alone.
    known = "".join(known_characters())
    # From plane 4 on nearly all are unassigned or private: many at once still show any that is not.
    first = next(
        (at for at, character in enumerate(known) if character >= "\U00040000"), len(known)
    )
    groups = [*known[:first], *(known[at : at + 64] for at in range(first, len(known), 64))]
    text = "".join(f"a{group}1{group}." for group in groups)
    library = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    pieces = [text[start:end] for _, (start, end) in library.pre_tokenize_str(text)]
    assert word_pattern().findall(text) == pieces


def test_characters_beside_an_added_token() -> None:
    tokens = [added(0, "<l>", lstrip=True), added(1, "<r>", rstrip=True)]
    tokens.append(added(2, "<w>", single_word=True))
    raw = json.loads(contents()["sample"]) | {"added_tokens": tokens}
    raw["model"] = {"type": "BPE", "vocab": {}, "merges": []}  # words give no ids
    content = json.dumps(raw).encode()
    ours, library = ByteLevelTokenizer(content), LibraryTokenizer(content)
    # The library looks for them slowly. All characters: the next test, and `make test-android`.
    edges = re.findall("[0-9a-f]+", f"{unicode_classes.WORD} {unicode_classes.WHITE_SPACE}")
    beside = {chr(int(edge, 16) + step) for edge in edges for step in (-1, 0, 1)}
    known = sorted(beside & set(known_characters()))
    assert len(known) > 2000
    for start in range(0, len(known), 100):
        texts = (f".{c}<l>.<r>{c}.<w>{c}.{c}<w>" for c in known[start : start + 100])
        text = "".join(texts)
        expected = library.encode_with_offsets(text, True, True)
        assert ours.encode_with_offsets(text, True, True) == expected


def test_kotlin_has_the_same_classes() -> None:
    file = ROOT / "android_demo/core/src/main/kotlin/dev/gpt2edge/UnicodeClasses.kt"
    content = "".join(re.sub(r'" \+\s+"', "", file.read_text("utf-8")))
    kotlin = dict(re.findall(r'const val (\w+) =\s+"(.+)"', content))
    assert set(kotlin) == {"LETTERS", "NUMBERS", "WHITE_SPACE", "WORD"}
    assert {name: getattr(unicode_classes, name) for name in kotlin} == kotlin


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "new_backend", ByteLevelTokenizer)


def tokenizer_of(folder: Path, content: str) -> Tokenizer:
    path = folder / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    return Tokenizer(path)


@pytest.mark.usefixtures("without_library")
@pytest.mark.parametrize("item", SPEC, ids=[item["name"] for item in SPEC])
def test_spec(item: dict[str, Any], tmp_path: Path) -> None:
    content = json.dumps(item["tokenizer"])
    if item["kind"] != "byte_level_bpe":
        with pytest.raises(PackageError, match="pip install tokenizers") as raised:
            tokenizer_of(tmp_path, content)
        assert_one_line(raised.value, tmp_path / "tokenizer.json")
        return
    tokenizer = tokenizer_of(tmp_path, content)
    for case in item["encode"]:
        text = case["text"]
        assert tokenizer.encode(text) == case["ids"]
        assert tokenizer.encode(text, add_special_tokens=False) == case["without_special"]
        assert tokenizer.encode(text, parse_special=False) == case["plain"]
    for case in [*item["encode"], *item["decode"]]:
        assert tokenizer.decode(case["ids"]) == case["decoded"]


@seed(15)
@settings(max_examples=60, deadline=None, database=None)
@given(ids=st.lists(st.integers(0, 420), max_size=20), text=TEXTS)
def test_fuzzed_ids_and_ranges(pair: Pair, ids: list[int], text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        made = []
        for one in pair:
            patch.setattr(backend, "new_backend", lambda _, one=one: one)
            made.append(Tokenizer(Path("tokenizer.json"), b""))
    ours, library = made
    assert ours.decode(ids) == library.decode(ids)
    assert [*map(ours.label, ids)] == [*map(library.label, ids)]
    assert [*map(ours.token_bytes, ids)] == [*map(library.token_bytes, ids)]
    assert ours.encode_with_ranges(text) == library.encode_with_ranges(text)


Change = Callable[[dict[str, Any]], object]
NEEDS_THE_LIBRARY: dict[str, Change] = {
    "a normalizer": lambda raw: raw.update(normalizer={"type": "NFC"}),
    "no pre-tokenizer": lambda raw: raw.update(pre_tokenizer=None),
    "another pre-tokenizer": lambda raw: raw.update(pre_tokenizer={"type": "Whitespace"}),
    "another post-processor": lambda raw: raw.update(post_processor={"type": "New"}),
    "no decoder": lambda raw: raw.update(decoder=None),
    "another decoder": lambda raw: raw.update(decoder={"type": "WordPiece"}),
    "a decoder behind": lambda raw: raw.update(
        decoder={"type": "Sequence", "decoders": [raw["decoder"], {"type": "CTC"}]}
    ),
    "another model": lambda raw: raw["model"].update(type="Unigram"),
    "dropout": lambda raw: raw["model"].update(dropout=0.1),
    "a prefix": lambda raw: raw["model"].update(continuing_subword_prefix="##"),
    "byte fallback": lambda raw: raw["model"].update(byte_fallback=True),
}
IS_WRONG: dict[str, Change] = {
    "no model": lambda raw: raw.pop("model"),
    "a vocabulary of numbers": lambda raw: raw["model"].update(vocab=[1, 2]),
    "an id that is text": lambda raw: raw["model"]["vocab"].update(a="1"),
    "an id below 0": lambda raw: raw["model"]["vocab"].update(a=-1),
    "an id beyond 32 bits": lambda raw: raw["model"]["vocab"].update(a=2**40),
    "an id that is true": lambda raw: raw["model"]["vocab"].update(a=True),
    "one id twice": lambda raw: raw["model"]["vocab"].update(a=1),
    "half of a pair": lambda raw: raw["model"]["vocab"].update({"\ud800": 9000}),
    "merges that are no list": lambda raw: raw["model"].update(merges={}),
    "a merge of three": lambda raw: raw["model"]["merges"].append("a b c"),
    "a merge of numbers": lambda raw: raw["model"]["merges"].append([1, 2]),
    "a merge of nothing": lambda raw: raw["model"]["merges"].append(None),
    "a merge of unknown tokens": lambda raw: raw["model"]["merges"].append(["zz", "qq"]),
    "an unknown unk_token": lambda raw: raw["model"].update(unk_token="<unheard>"),
    "an unk_token that is a list": lambda raw: raw["model"].update(unk_token=["a"]),
    "added tokens that are none": lambda raw: raw.update(added_tokens=[3]),
    "an added token of another id": lambda raw: raw["added_tokens"].append(added(77777, "<x>")),
    "an added token twice": lambda raw: raw["added_tokens"].append(raw["added_tokens"][0]),
    "half of a pair added": lambda raw: raw["added_tokens"].append(added(8192, "\udc00")),
    "a flag that is text": lambda raw: raw["pre_tokenizer"].update(add_prefix_space="yes"),
    "too many added tokens": lambda raw: raw["added_tokens"].extend(
        added(8192 + n, f"<{n}>") for n in range(20_001)
    ),
    "a template of unknown tokens": lambda raw: raw.update(
        post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}]}
    ),
    "replacements without end": lambda raw: raw.update(
        decoder={
            "type": "Sequence",
            "decoders": [
                raw["decoder"],
                *[{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 50}] * 3,
            ],
        }
    ),
}


@pytest.mark.usefixtures("without_library")
@pytest.mark.parametrize("case", [*NEEDS_THE_LIBRARY, *IS_WRONG])
def test_what_it_cannot_read_is_one_line(case: str, tmp_path: Path) -> None:
    raw = json.loads(contents()["sample"])
    (NEEDS_THE_LIBRARY | IS_WRONG)[case](raw)
    with pytest.raises(PackageError) as raised:
        tokenizer_of(tmp_path, json.dumps(raw))
    assert_one_line(raised.value, tmp_path / "tokenizer.json")
    assert ("pip install tokenizers" in str(raised.value)) == (case in NEEDS_THE_LIBRARY)


@pytest.mark.usefixtures("without_library")
@pytest.mark.parametrize("content", ["", "[]", "{}", "no JSON", '{"model": 3}', "\ufeff{}"])
def test_what_is_no_tokenizer_is_one_line(content: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError) as raised:
        tokenizer_of(tmp_path, content)
    assert_one_line(raised.value, tmp_path / "tokenizer.json")


@pytest.mark.usefixtures("without_library")
def test_words_are_forgotten_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2_edge.text.byte_level.tokenizer._MOST_WORDS", 3)
    tokenizer = tokenizer_of(tmp_path, contents()["sample"])
    text = "one two three four five six one two " + "long" * 50
    first = tokenizer.encode(text)
    assert tokenizer.encode(text) == first
    remembered = tokenizer._backend._known  # type: ignore[attr-defined]
    assert 1 <= len(remembered) <= 3
