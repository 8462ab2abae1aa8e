"""Prompts that cannot be taken, and packages without a tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import ContextOverflowError, GenerationConfig, GenerationError, Generator

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
    assert list(without_tokenizer.stream([5, 6, 7], config)) == []


def test_without_a_tokenizer_next_tokens_are_numbers(without_tokenizer: Generator) -> None:
    options = without_tokenizer.next_tokens([5, 6, 7], 3)
    assert [option.text for option in options] == [str(option.id) for option in options]
