"""Prompts that cannot be taken, and packages without a tokenizer."""

from __future__ import annotations

import json
import shutil
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import ContextOverflowError, GenerationConfig, GenerationError, Generator
from helpers import assert_one_line

Call = Callable[[Generator, Any], Any]

CALLS: list[Call] = [
    lambda generator, prompt: generator.generate(prompt),
    lambda generator, prompt: generator.stream(prompt),
    lambda generator, prompt: generator.tokens(prompt),
    lambda generator, prompt: generator.next_tokens(prompt),
    lambda generator, prompt: generator.logits(prompt),
    lambda generator, prompt: generator.encode(prompt),
]
NAMES = ["generate", "stream", "tokens", "next_tokens", "logits", "encode"]


@pytest.fixture(scope="module")
def without_tokenizer(sample_int4: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = tmp_path_factory.mktemp("ids") / "package"
    shutil.copytree(sample_int4, folder)
    manifest = folder / "manifest.json"
    raw = json.loads(manifest.read_text("utf-8"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        del raw["files"][name]
        (folder / name).unlink()
    manifest.write_text(json.dumps(raw | {"tokenizer": None}), "utf-8")
    return Generator.load(folder)


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize("prompt", ["", []], ids=["text", "ids"])
def test_an_empty_prompt(fp32: Generator, call: Call, prompt: Any) -> None:
    with pytest.raises(GenerationError, match="the prompt is empty"):
        call(fp32, prompt)


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize("wrong", [-1, 8192])
def test_an_id_outside_the_vocabulary(fp32: Generator, call: Call, wrong: int) -> None:
    expected = f"token id {wrong} is outside the vocabulary of 8192"
    with pytest.raises(GenerationError, match=expected):
        call(fp32, [5, wrong, 6])


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_a_prompt_longer_than_the_context(fp32: Generator, call: Call) -> None:
    with pytest.raises(ContextOverflowError, match=r"has 513 tokens; .* holds 512"):
        call(fp32, [5] * 513)


class Endless:
    """Three token ids by its length, any number of them when it is gone through."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        return 5


def test_a_sequence_is_as_long_as_it_says(fp32: Generator) -> None:
    assert fp32.prompt_ids(Endless()) == [5, 5, 5]  # type: ignore[arg-type]


WRONG = [
    (b"The animal", "b'The animal' (bytes)"),
    (bytearray(b"The"), "(bytearray)"),
    (memoryview(b"The"), "(memoryview)"),
    (None, "the prompt is None"),
    (5, "5 (int)"),
    (5.5, "5.5 (float)"),
    (True, "True (bool)"),
    ({"input_ids": [5, 6]}, "(dict)"),
    ({5, 6}, "(set)"),
    ({5: 6}.keys(), "dict_keys"),
    (iter([5, 6]), "iterator"),
    (object(), "(object)"),
    (list, "<class 'list'>"),
    (len, "built-in function"),
    (np.int64(5), "(int64)"),
    (np.array(5), "0 dimensions"),
    (np.array([[5, 6]]), "2 dimensions"),
    (np.array([5.0, 6.0]), "at position 0"),
    (np.array([True, False]), "at position 0"),
    (np.array(["a"]), "list of strings"),
    (np.array([5, None]), "None at position 1"),
    ([5, 6.0], "6.0 at position 1"),
    ([5.9, 6.2], "5.9 at position 0"),
    (["12", "13"], "list of strings, such as '12'"),
    (["a", "b"], "one prompt a call"),
    ([5, True], "True at position 1"),
    ([None], "None at position 0"),
    ([[5, 6]], "nested"),
    ([[5], [6]], "one prompt a call"),
    ([np.array([5, 6])], "nested"),
    ([{"id": 5}], "nested"),
    ([float("nan")], "nan at position 0"),
    ([1j], "1j at position 0"),
]


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize(("prompt", "expected"), WRONG, ids=[text for _, text in WRONG])
def test_what_is_no_prompt_is_told(fp32: Generator, call: Call, prompt: Any, expected: str) -> None:
    with pytest.raises(GenerationError) as raised:
        call(fp32, prompt)
    taken = "give text or a flat sequence of token ids (whole numbers)"
    assert_one_line(raised.value, "the prompt ", expected, taken)


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize("wrong", [10**400, -(10**30), np.uint64(2**63), 2**31])
def test_an_id_of_any_size_outside_the_vocabulary(fp32: Generator, call: Call, wrong: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        call(fp32, [5, wrong])
    assert_one_line(raised.value, "is outside the vocabulary of 8192")


@pytest.mark.parametrize(
    "prompt",
    [
        (5, 6, 7),
        range(5, 8),
        deque([5, 6, 7]),
        array("i", [5, 6, 7]),
        np.array([5, 6, 7]),
        np.array([5, 6, 7], np.uint8),
        np.array([5, 0, 6, 0, 7, 0], np.uint64)[::2],
        np.array([5, 6, 7], object),
        [np.int64(5), np.int32(6), 7],
        [np.uint8(5), np.int16(6), np.uint64(7)],
    ],
    ids=lambda prompt: type(prompt).__name__,
)
def test_any_flat_sequence_of_whole_numbers_is_a_prompt(fp32: Generator, prompt: Any) -> None:
    ids = fp32.encode(prompt)
    assert ids == [5, 6, 7]
    assert {type(token_id) for token_id in ids} == {int}
    assert fp32.generate(prompt, max_new_tokens=2).ids == fp32.generate(ids, max_new_tokens=2).ids


def test_a_text_longer_than_the_context(fp32: Generator) -> None:
    with pytest.raises(ContextOverflowError, match="the prompt has 600 tokens"):
        fp32.generate(" the" * 600)


def test_without_a_tokenizer_text_is_refused(without_tokenizer: Generator) -> None:
    with pytest.raises(GenerationError, match="package has no tokenizer"):
        without_tokenizer.generate("One")


def test_without_a_tokenizer_stop_strings_are_refused(without_tokenizer: Generator) -> None:
    with pytest.raises(GenerationError, match="stop_strings need a tokenizer"):
        without_tokenizer.generate([5], GenerationConfig(stop_strings=("x",)))


def test_without_a_tokenizer_ids_come_back(without_tokenizer: Generator, int4: Generator) -> None:
    config = GenerationConfig(max_new_tokens=10)
    result = without_tokenizer.generate([5, 6, 7], config)
    assert result.ids == int4.generate([5, 6, 7], config).ids
    assert result.text is None
    with without_tokenizer.stream([5, 6, 7], config) as stream:
        assert list(stream) == [""] * 10  # a piece for each token, with nothing in it
    assert stream.ids == result.ids


def test_without_a_tokenizer_next_tokens_are_numbers(without_tokenizer: Generator) -> None:
    options = without_tokenizer.next_tokens([5, 6, 7], 3)
    assert [option.text for option in options] == [str(option.id) for option in options]
