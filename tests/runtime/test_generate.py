"""Generating: repeatable, the same whole or streamed, and with the logits' own probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_edge import GenerationConfig, GenerationError, Generator

PROMPT = "The man in the boat said that he"


def test_greedy_is_deterministic(generator: Generator) -> None:
    config = GenerationConfig(max_new_tokens=30)
    first, second = generator.generate(PROMPT, config), generator.generate(PROMPT, config)
    assert len(first.ids) == 30
    assert first.ids == second.ids
    assert first.text == second.text
    assert first.seed is None


def test_greedy_takes_the_likeliest_token_each_time(fp32: Generator) -> None:
    prompt = fp32.encode(PROMPT)
    result = fp32.generate(prompt, GenerationConfig(max_new_tokens=25))
    logits = fp32.logits([*prompt, *result.ids])[len(prompt) - 1 : -1]
    assert result.ids == tuple(logits.argmax(axis=1))


def test_the_text_is_that_of_the_ids_without_the_prompt(fp32: Generator) -> None:
    result = fp32.generate(PROMPT, GenerationConfig(max_new_tokens=25))
    assert fp32.tokenizer is not None
    assert result.text == fp32.tokenizer.decode(result.ids)
    assert result.prompt_tokens == len(fp32.encode(PROMPT))


def test_the_same_seed_gives_the_same_text(generator: Generator) -> None:
    config = GenerationConfig(max_new_tokens=40, top_k=40, seed=7)
    first, second = generator.generate(PROMPT, config), generator.generate(PROMPT, config)
    assert first.ids == second.ids
    assert first.seed == second.seed == 7


def test_another_seed_gives_another_text(fp32: Generator) -> None:
    texts = {
        fp32.generate(PROMPT, GenerationConfig(max_new_tokens=40, seed=seed)).text
        for seed in range(4)
    }
    assert len(texts) == 4


def test_a_fresh_seed_is_reported_and_gives_the_text_again(fp32: Generator) -> None:
    fresh = fp32.generate(PROMPT, GenerationConfig(max_new_tokens=30, top_p=0.9))
    assert fresh.seed is not None
    again = GenerationConfig(max_new_tokens=30, top_p=0.9, seed=fresh.seed)
    assert fp32.generate(PROMPT, again).ids == fresh.ids
    other = fp32.generate(PROMPT, GenerationConfig(max_new_tokens=30, top_p=0.9))
    assert other.seed != fresh.seed


def test_a_prompt_of_ids_gives_what_its_text_gives(fp32: Generator) -> None:
    config = GenerationConfig(max_new_tokens=20)
    prompt = fp32.encode(PROMPT)
    by_ids = fp32.generate(prompt, config)
    assert by_ids.ids == fp32.generate(PROMPT, config).ids
    assert by_ids.text == fp32.generate(PROMPT, config).text
    assert fp32.generate(np.array(prompt), config).ids == by_ids.ids  # type: ignore[arg-type]


def test_a_prompt_of_one_token(fp32: Generator) -> None:
    result = fp32.generate([5], GenerationConfig(max_new_tokens=3))
    assert result.ids[0] == fp32.logits([5])[0].argmax()
    assert result.prompt_tokens == 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**53), temperature=st.floats(0.5, 3))
def test_streamed_pieces_are_the_text(fp32: Generator, seed: int, temperature: float) -> None:
    config = GenerationConfig(
        max_new_tokens=25, temperature=temperature, top_k=8192, seed=seed, stop_strings=(" the",)
    )
    stream = fp32.stream(PROMPT, config)
    pieces = list(stream)
    assert all(pieces)
    assert "".join(pieces) == stream.result.text
    whole = fp32.generate(PROMPT, config)
    assert (whole.text, whole.ids) == (stream.result.text, stream.result.ids)


def test_text_is_streamed_while_it_is_written(fp32: Generator) -> None:
    pieces = list(fp32.stream(PROMPT, GenerationConfig(max_new_tokens=20)))
    assert len(pieces) > 10


def test_tokens_are_the_ids(fp32: Generator) -> None:
    config = GenerationConfig(max_new_tokens=20, seed=3)
    tokens = list(fp32.tokens(PROMPT, config))
    assert tuple(token.id for token in tokens) == fp32.generate(PROMPT, config).ids
    assert {token.logprob for token in tokens} == {None}


def test_a_stream_has_no_result_before_its_end(fp32: Generator) -> None:
    stream = fp32.stream(PROMPT, GenerationConfig(max_new_tokens=3))
    with pytest.raises(GenerationError, match="the stream has not ended"):
        _ = stream.result
    next(stream)
    with pytest.raises(GenerationError, match="the stream has not ended"):
        _ = stream.result
    assert list(stream)
    assert len(stream.result.ids) == 3
    assert next(stream, "ended") == "ended"


@pytest.mark.parametrize("sampling", [{}, {"seed": 5, "temperature": 1.5, "top_k": 20}])
def test_logprobs_are_those_of_the_softmax_before_temperature(
    fp32: Generator, sampling: dict[str, float]
) -> None:
    prompt = fp32.encode(PROMPT)
    config = GenerationConfig(max_new_tokens=20, logprobs=True, **sampling)  # type: ignore[arg-type]
    result = fp32.generate(prompt, config)
    logits = fp32.logits([*prompt, *result.ids])[len(prompt) - 1 : -1].astype(np.float64)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.log(softmax[np.arange(20), list(result.ids)])
    np.testing.assert_allclose(result.logprobs, expected, atol=1e-4)
    tokens = list(fp32.tokens(prompt, config))
    assert tuple(token.logprob for token in tokens) == result.logprobs


def test_no_logprobs_unless_asked(fp32: Generator) -> None:
    assert fp32.generate(PROMPT, GenerationConfig(max_new_tokens=2)).logprobs is None


def test_rates_follow_from_the_times(fp32: Generator) -> None:
    result = fp32.generate(PROMPT, GenerationConfig(max_new_tokens=5))
    assert result.prompt_seconds > 0
    assert result.decode_seconds > 0
    prompt_rate = result.prompt_tokens / result.prompt_seconds
    assert result.prompt_tokens_per_second == pytest.approx(prompt_rate)
    assert result.decode_tokens_per_second == pytest.approx(4 / result.decode_seconds)


def test_one_token_has_no_decode_rate(fp32: Generator) -> None:
    result = fp32.generate(PROMPT, GenerationConfig(max_new_tokens=1))
    assert result.decode_tokens_per_second == 0
