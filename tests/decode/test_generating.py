"""Batches, beams, drafts, caches and grammars on the sample model, through the public API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import (
    GenerationConfig,
    GenerationError,
    Generator,
    MissingDependencyError,
    PackageError,
)
from gpt2_edge.decode.grammar import _tokenizer
from helpers import assert_one_line

PROMPTS = ["The man in the boat", "x", "What do you", "Once upon a time " * 12, "He said"]
SAMPLED: Any = {"temperature": 0.9, "top_k": 40, "max_new_tokens": 20}


@pytest.fixture(scope="session")
def int4(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4, provider="cpu", threads=1)


def test_a_batch_is_its_texts_alone(fp32: Generator) -> None:
    configs = [GenerationConfig(seed=n, **SAMPLED) for n in range(len(PROMPTS))]
    together = fp32.generate_batch(PROMPTS, configs)
    alone = [fp32.generate(p, c) for p, c in zip(PROMPTS, configs, strict=True)]
    assert [(r.ids, r.text, r.seed) for r in together] == [(r.ids, r.text, r.seed) for r in alone]


def test_neighbours_change_nothing_in_quantized_graphs_either(int4: Generator) -> None:
    together = [r.ids for r in int4.generate_batch(PROMPTS, max_new_tokens=25)]
    for prompt, ids in zip(PROMPTS, together, strict=True):
        assert int4.generate_batch([prompt, "The sea was"], max_new_tokens=25)[0].ids == ids


def test_a_batch_is_streamed(fp32: Generator) -> None:
    texts = ["", "", ""]
    with fp32.stream_batch(PROMPTS[:3], max_new_tokens=8) as batch:
        for number, event in batch:
            texts[number] += event.text
    assert [result.text for result in batch.results] == texts
    assert all(texts)


def test_a_result_is_there_as_soon_as_its_text_has_ended(fp32: Generator) -> None:
    configs = [GenerationConfig(max_new_tokens=count) for count in (2, 30, 5)]
    with fp32.stream_batch(PROMPTS[:3], configs) as batch:
        ended: list[int] = []
        for _ in batch:
            ended += [n for n in range(3) if n not in ended and batch.result(n) is not None]
            if ended == [0, 2]:
                assert batch.result(1) is None
                with pytest.raises(GenerationError, match="has not ended"):
                    assert batch.results
    assert ended == [0, 2, 1]
    assert [batch.result(n) for n in range(3)] == batch.results


def test_a_batch_says_whose_settings_failed(fp32: Generator) -> None:
    def nothing(_: Sequence[int], logits: np.ndarray) -> np.ndarray:
        return np.full_like(logits, -np.inf)

    configs = [GenerationConfig(), GenerationConfig(suppress_tokens=list(range(8192)))]
    batch = fp32.stream_batch(PROMPTS[:2], configs)
    with pytest.raises(GenerationError, match="every token is forbidden"), batch:
        list(batch)
    assert batch.failed == 1
    batch = fp32.stream_batch(PROMPTS[:2], max_new_tokens=2, logits_processor=[nothing])
    with pytest.raises(GenerationError), batch:
        list(batch)
    assert batch.failed == 0


def test_several_texts_of_a_prompt_read_it_once(fp32: Generator) -> None:
    result = fp32.generate(PROMPTS[3], num_return_sequences=3, seed=4, max_new_tokens=12)
    first, *others = result.sequences
    assert first.ids == result.ids == fp32.generate(PROMPTS[3], seed=4, max_new_tokens=12).ids
    assert len({text.ids for text in result.sequences}) == 3
    assert all(text.cached_tokens == first.prompt_tokens - 1 for text in others)
    again = fp32.generate(PROMPTS[3], seed=others[1].seed, max_new_tokens=12)
    assert again.ids == others[1].ids


def test_n_best_beams_have_falling_scores(fp32: Generator) -> None:
    result = fp32.generate("What do you", num_beams=4, num_return_sequences=3, max_new_tokens=10)
    scores = [text.score for text in result.sequences]
    assert scores == sorted(scores, reverse=True)
    ids = fp32.encode("What do you")
    ours = sum(fp32_logprobs(fp32, ids, result.ids)) / len(result.ids)
    assert result.score == pytest.approx(ours, abs=1e-4)


def fp32_logprobs(generator: Generator, prompt: list[int], ids: tuple[int, ...]) -> list[float]:
    logits = generator.logits([*prompt, *ids]).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return [float(logs[len(prompt) - 1 + n, token]) for n, token in enumerate(ids)]


@pytest.mark.parametrize("settings", [{}, {"seed": 3, "temperature": 0.7}])
def test_drafts_change_no_token_in_fp32(fp32: Generator, settings: Any) -> None:
    plain = fp32.generate("Once upon a time", max_new_tokens=80, **settings)
    lookup = fp32.generate(
        "Once upon a time", max_new_tokens=80, prompt_lookup_num_tokens=8, **settings
    )
    assert (lookup.ids, lookup.text) == (plain.ids, plain.text)
    assert settings or lookup.accepted_tokens > 20
    helped = fp32.generate("Once upon a time", max_new_tokens=80, assistant=fp32, **settings)
    assert (helped.ids, helped.text) == (plain.ids, plain.text)
    assert helped.drafted_tokens > 0


def test_an_assistant_of_other_tokens(fp32: Generator, random_package: Any) -> None:
    other = Generator.load(random_package(vocab_size=100))
    with pytest.raises(GenerationError) as raised:
        fp32.generate("The", assistant=other)
    assert_one_line(raised.value, "other tokens", "same tokenizer")


def test_a_conversation_reads_only_what_is_new(fp32: Generator, tmp_path: Path) -> None:
    cache, text = fp32.new_cache(), "The man in the boat"
    for _ in range(4):
        result = fp32.generate(text, cache=cache, max_new_tokens=12)
        assert result.ids == fp32.generate(text, max_new_tokens=12).ids
        text += (result.text or "") + " And then"
        ids = fp32.encode(text)
    # Of the last prompt all was known but what came after the text before.
    assert result.prompt_tokens - result.cached_tokens < 8
    cache.save(tmp_path / "cache")
    loaded = fp32.load_cache(tmp_path / "cache")
    assert loaded.ids == cache.ids
    known = fp32.generate(ids, cache=loaded, max_new_tokens=5)
    assert known.ids == fp32.generate(ids, max_new_tokens=5).ids
    assert known.cached_tokens > len(ids) - 8
    loaded.trim(3)
    assert (len(loaded), loaded.ids) == (3, ids[:3])


def test_the_cache_of_another_package(fp32: Generator, int4: Generator, tmp_path: Path) -> None:
    cache = fp32.new_cache()
    fp32.generate("The man", cache=cache, max_new_tokens=3)
    with pytest.raises(GenerationError) as raised:
        int4.generate("The man", cache=cache)
    assert_one_line(raised.value, "new_cache")
    cache.save(tmp_path / "cache")
    with pytest.raises(PackageError) as refused:
        int4.load_cache(tmp_path / "cache")
    assert_one_line(refused.value, "another package")
    for content in (b"", b"x" * 100, (tmp_path / "cache").read_bytes()[:-9]):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(PackageError) as damaged:
            fp32.load_cache(tmp_path / "bad")
        assert_one_line(damaged.value, "bad")


def test_a_window_that_keeps_its_beginning_takes_long_prompts(fp32: Generator) -> None:
    prompt = list(range(100, 800))
    result = fp32.generate(prompt, max_new_tokens=5, context_overflow="slide", keep=10)
    assert result.prompt_tokens == fp32.context_length
    shown = [*prompt[:10], *prompt[-(fp32.context_length - 10) :]]
    assert result.ids[:1] == fp32.generate(shown, max_new_tokens=1).ids


def test_functions_of_the_caller(fp32: Generator) -> None:
    def even(ids: Any, logits: Any) -> Any:
        logits[1::2] = -np.inf
        return logits

    result = fp32.generate("The", max_new_tokens=10, logits_processor=[even])
    assert all(token % 2 == 0 for token in result.ids)
    begun = len(fp32.encode("The"))
    stopped = fp32.generate("The", stopping_criteria=[lambda ids: len(ids) == begun + 4])
    assert (len(stopped.ids), stopped.finish_reason) == (4, "stop")
    with pytest.raises(ZeroDivisionError):
        fp32.generate("The", logits_processor=[lambda ids, logits: 1 / 0])
    with pytest.raises(GenerationError) as raised:
        fp32.generate("The", suppress_tokens=list(range(fp32.vocab_size)))
    assert_one_line(raised.value, "every token is forbidden")


def test_logprobs_of_alternatives(fp32: Generator) -> None:
    result = fp32.generate("What do you", max_new_tokens=3, logprobs=True, top_logprobs=4)
    assert result.top_logprobs is not None
    assert result.logprobs is not None
    for token, logprob, best in zip(result.ids, result.logprobs, result.top_logprobs, strict=True):
        assert len(best) == 4
        assert best[0] == (token, logprob)  # greedy


def test_a_text_ends_in_time(fp32: Generator) -> None:
    result = fp32.generate("The", max_new_tokens=400, max_time=1e-6)
    assert (result.finish_reason, result.ids) == ("time", ())


def test_a_stop_string_may_be_part_of_the_text(fp32: Generator) -> None:
    plain = fp32.generate("The man", max_new_tokens=40, stop_strings=["."])
    whole = fp32.generate("The man", max_new_tokens=40, stop_strings=["."], include_stop_str=True)
    assert whole.text == f"{plain.text}."


def test_streaming_in_asyncio(fp32: Generator) -> None:
    async def read() -> str:
        return "".join([piece async for piece in fp32.astream("The man", max_new_tokens=12)])

    assert asyncio.run(read()) == fp32.generate("The man", max_new_tokens=12).text


GRAMMARS: list[tuple[dict[str, Any], str]] = [
    ({"choices": ["yes", "no", "maybe so"]}, r"yes|no|maybe so"),
    ({"regex": "[A-Z][a-z]{2,5} [0-9]{2}"}, r"[A-Z][a-z]{2,5} [0-9]{2}"),
    (
        {
            "json_schema": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}},
                "required": ["n"],
                "additionalProperties": False,
            }
        },
        r'\{"n": ?\d{1,2}\}',
    ),
    ({"lark": 'start: "(" /[a-z]{3}/ ")"'}, r"\([a-z]{3}\)"),
]


@pytest.mark.parametrize(("settings", "pattern"), GRAMMARS, ids=lambda value: str(value)[:20])
def test_a_grammar_holds_alone_in_batches_beams_and_drafts(
    fp32: Generator, settings: dict[str, Any], pattern: str
) -> None:
    pytest.importorskip("llguidance")
    results = fp32.generate_batch(["He said", "The number is"], seed=1, **settings)
    results.append(fp32.generate("He said", num_beams=3, max_new_tokens=40, **settings))
    results.append(fp32.generate("He said", prompt_lookup_num_tokens=4, **settings))
    for result in results:
        assert re.fullmatch(pattern, result.text or ""), result.text
        assert result.finish_reason in ("eos", "stop")


def test_a_tokenizer_is_made_ready_for_grammars_once(
    fp32: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    llguidance = pytest.importorskip("llguidance")
    made, make = [], llguidance.LLTokenizer

    def counted(*arguments: Any, **settings: Any) -> Any:
        made.append(arguments)
        return make(*arguments, **settings)

    _tokenizer.cache_clear()
    monkeypatch.setattr(llguidance, "LLTokenizer", counted)
    for regex in ("a+", "[0-9]{2}", "a+"):
        text = fp32.generate("He said", max_new_tokens=8, regex=regex).text
        assert re.match(regex, text)
    assert len(made) == 1


def test_grammars_without_their_library(fp32: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(MissingDependencyError) as raised:
        fp32.generate("He said", choices=["a"])
    assert_one_line(raised.value, "llguidance", "grammar")


def test_two_grammars_at_once(fp32: Generator) -> None:
    with pytest.raises(GenerationError) as raised:
        fp32.generate("He said", choices=["a"], regex="b")
    assert_one_line(raised.value, "regex and choices")
