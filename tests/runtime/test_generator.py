"""What a Generator is besides its generations: settings, facts, tokens, text for people."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2_edge
from gpt2_edge import (
    GenerationConfig,
    GenerationError,
    GenerationResult,
    Generator,
    GPT2EdgeError,
    PackageError,
)
from gpt2_edge.graph.run import GraphRun
from gpt2_edge.graph.token_sequence import TokenSequence
from helpers import assert_one_line

PROMPT = "The man in the boat said that he"


@pytest.fixture
def with_settings(sample_int4: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A function that puts a generation_config.json into a copy of a package."""

    def make(content: str) -> Path:
        folder = tmp_path / "package"
        shutil.copytree(sample_int4, folder)
        (folder / "generation_config.json").write_text(content, "utf-8")
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        manifest["files"]["generation_config.json"] = {
            "bytes": len(content.encode()),
            "sha256": sha256(content.encode()).hexdigest(),
        }
        (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        return folder

    return make


def test_settings_are_keywords_too(fp32: Generator) -> None:
    config = GenerationConfig(max_new_tokens=12, temperature=0.8, seed=3)
    expected = fp32.generate(PROMPT, config)
    result = fp32.generate(PROMPT, max_new_tokens=12, temperature=0.8, seed=3)
    assert result.ids == expected.ids
    assert "".join(fp32.stream(PROMPT, max_new_tokens=12, temperature=0.8, seed=3)) == result.text
    tokens = fp32.tokens(PROMPT, max_new_tokens=12, temperature=0.8, seed=3)
    assert tuple(token.id for token in tokens) == result.ids


def test_keywords_win_over_the_config(fp32: Generator) -> None:
    config = GenerationConfig(max_new_tokens=30, logprobs=True)
    result = fp32.generate(PROMPT, config, max_new_tokens=np.int32(4))  # type: ignore[arg-type]
    assert (len(result.ids), len(result.logprobs or ())) == (4, 4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 3}, "there is no setting 'max_tokens'; did you mean max_new_tokens?"),
        ({"watermark": 3}, "there is no setting 'watermark'; the settings are max_new_tokens, "),
        ({"temperature": "0.8"}, "temperature is '0.8'; it must be a number"),
        ({"config": {"temperature": 1}}, "config is {'temperature': 1}; give a GenerationConfig"),
        ({"config": "greedy"}, "config is 'greedy'; give a GenerationConfig"),
    ],
)
def test_settings_that_cannot_be_meant(
    fp32: Generator, given: dict[str, Any], expected: str
) -> None:
    for call in (fp32.generate, fp32.stream, fp32.tokens):
        with pytest.raises(GenerationError) as raised:
            call(PROMPT, **given)
        assert_one_line(raised.value, expected)


def test_the_package_s_settings_hold_where_the_caller_says_nothing(
    with_settings: Callable[[str], Path],
) -> None:
    content = '{"do_sample": true, "temperature": 0.7, "top_k": 0, "max_new_tokens": 12}'
    generator = Generator.load(with_settings(content))
    expected = GenerationConfig(do_sample=True, temperature=0.7, top_k=0, max_new_tokens=12)
    assert generator.generation_config == expected
    result = generator.generate(PROMPT)
    assert result.seed is not None
    assert len(result.ids) <= 12
    again = generator.generate(PROMPT, temperature=0.7, top_k=0, seed=result.seed)
    assert again.ids == result.ids
    assert len(generator.generate(PROMPT, max_new_tokens=3).ids) == 3
    assert generator.generate(PROMPT, temperature=0).seed is None
    assert generator.generate(PROMPT, do_sample=False).seed is None


@pytest.mark.parametrize("content", ["", "[]", '{"top_k": -1}', '{"do_sample": 1}', "\x00"])
def test_settings_of_a_package_that_cannot_be_read(
    with_settings: Callable[[str], Path], content: str
) -> None:
    folder = with_settings(content)
    with pytest.raises(PackageError) as raised:
        Generator.load(folder)
    assert_one_line(raised.value, folder / "generation_config.json")


def test_without_a_generation_config_nothing_is_set(random_package: Callable[..., Path]) -> None:
    generator = Generator.load(random_package())
    assert generator.generation_config.resolved() == GenerationConfig().resolved()


def test_facts(int4: Generator) -> None:
    manifest = int4.manifest
    assert (int4.context_length, int4.vocab_size, int4.eos_token_ids) == (512, 8192, (0,))
    assert int4.name == manifest.name
    assert int4.fallback_reason is None


def test_text_to_tokens_and_back(int4: Generator) -> None:
    ids = int4.encode(PROMPT)
    assert int4.decode(ids) == PROMPT
    assert int4.decode(np.array(ids)) == PROMPT  # type: ignore[arg-type]
    assert int4.decode([]) == ""
    assert int4.count_tokens(PROMPT) == len(ids)
    assert int4.count_tokens("") == 0
    assert int4.count_tokens(" the" * 600) == 600
    assert int4.encode("a<|endoftext|>b") == [*int4.encode("a"), 0, *int4.encode("b")]
    plain = int4.encode("a<|endoftext|>b", parse_special=False)
    assert 0 not in plain
    assert int4.decode(plain) == "a<|endoftext|>b"


@pytest.mark.parametrize("ids", [[8192], [-1], 5, None, "text", b"\x01", [1.0], [[1]], [True]])
def test_what_cannot_be_decoded(int4: Generator, ids: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        int4.decode(ids)
    assert_one_line(raised.value)
    if isinstance(ids, list):
        with pytest.raises(GenerationError):
            int4.token_label(ids[0])


@pytest.mark.parametrize("text", [None, 5, b"text", ["a"], [1, 2]])
def test_only_text_is_counted(int4: Generator, text: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        int4.count_tokens(text)
    assert_one_line(raised.value, "the text is ", "give a string")


def test_without_a_tokenizer_there_is_no_text(random_package: Callable[..., Path]) -> None:
    generator = Generator.load(random_package())
    for call in (lambda: generator.decode([1]), lambda: generator.count_tokens("x")):
        with pytest.raises(GenerationError, match="has no tokenizer"):
            call()


@pytest.mark.parametrize("keep", [1, 2, 40, 41, 10**9])
def test_the_last_logits_alone(fp32: Generator, ids: list[int], keep: int) -> None:
    whole = fp32.logits(ids)
    assert whole.shape == (40, 8192)
    last = fp32.logits(ids, keep=keep)
    assert last.shape == (min(keep, 40), 8192)
    np.testing.assert_allclose(last, whole[-keep:], atol=1e-4)


def test_the_last_logits_alone_take_no_memory_for_the_others(
    fp32: Generator, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    feed = TokenSequence.feed

    def watched(self: TokenSequence, part: list[int], keep: int = 1) -> Any:
        kept.append(keep)
        return feed(self, part, keep)

    monkeypatch.setattr(TokenSequence, "feed", watched)
    fp32.logits(ids, keep=2)
    assert kept == [2]


@pytest.mark.parametrize("keep", [0, -1, 1.0, "1", True])
def test_keep_is_a_whole_number_at_least_1(fp32: Generator, keep: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        fp32.logits(PROMPT, keep=keep)
    assert_one_line(raised.value, f"keep is {keep!r}; it must be a whole number, at least 1")


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy])
def test_a_generator_stays_in_its_process(int4: Generator, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(GPT2EdgeError) as raised:
        copied(int4)
    assert_one_line(raised.value, "cannot be pickled", "Generator.load in each process")


def test_results_and_configs_travel(int4: Generator) -> None:
    result = int4.generate(PROMPT, max_new_tokens=3)
    assert pickle.loads(pickle.dumps(result)) == result
    config = GenerationConfig(stop_strings=["x"], seed=np.int64(3))  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(config)) == config


def test_what_is_shown_of_a_generator(int4: Generator) -> None:
    shown = repr(int4)
    for part in (int4.name, "int4", " MB", "context 512", "vocabulary 8192", "cpu"):
        assert part in shown
    assert len(shown) < 150


def test_what_is_shown_of_a_result(int4: Generator) -> None:
    result = int4.generate(PROMPT, max_new_tokens=100, ignore_eos=True)
    assert str(result) == result.text
    assert len(repr(result)) < 150
    assert repr(result).endswith("…', 100 tokens, 'length'>") or "…" in repr(result)
    ids = GenerationResult(None, (3, 4), "length", 1, None, 0.0, 0.0)
    assert str(ids) == "3,4"


def test_logits_that_are_not_numbers_are_one_error(
    fp32: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = GraphRun.one

    def broken(self: GraphRun, *arguments: Any) -> Any:
        logits = np.array(run(self, *arguments))
        logits[:, 77] = np.nan
        return logits

    monkeypatch.setattr(GraphRun, "one", broken)
    ids = fp32.encode(PROMPT)
    calls: list[Callable[[], Any]] = [
        lambda: fp32.generate(PROMPT),
        lambda: fp32.generate(PROMPT, seed=1),
        lambda: fp32.generate(PROMPT, seed=1, top_k=0),
        lambda: list(fp32.stream(PROMPT)),
        lambda: list(fp32.tokens(PROMPT, logprobs=True)),
        lambda: fp32.next_tokens(PROMPT),
        lambda: fp32.next_tokens(PROMPT, top_p=0.5),
        lambda: gpt2_edge.token_logprobs(fp32, ids),
        lambda: gpt2_edge.score_tokens(fp32, ids),
        lambda: gpt2_edge.perplexity(fp32, ids),
        lambda: gpt2_edge.continuation(fp32, ids, [5]),
    ]
    for call in calls:
        with pytest.raises(GenerationError) as raised:
            call()
        assert_one_line(raised.value, "logits that are not numbers")
