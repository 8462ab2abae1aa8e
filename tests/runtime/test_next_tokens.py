"""The likeliest next tokens with their probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, GenerationError, Generator
from gpt2_edge.sampling import largest, probabilities

PROMPT = "What do you"


def test_the_whole_vocabulary_sums_to_1(generator: Generator) -> None:
    options = generator.next_tokens(PROMPT, 8192)
    assert {option.id for option in options} == set(range(8192))
    assert sum(option.probability for option in options) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_likeliest_come_first(generator: Generator, k: int) -> None:
    options = generator.next_tokens(PROMPT, k)
    shares = [option.probability for option in options]
    assert len(options) == k
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) < 1


def test_ten_by_default(fp32: Generator) -> None:
    assert len(fp32.next_tokens(PROMPT)) == 10


def test_more_than_the_vocabulary_are_the_vocabulary(fp32: Generator) -> None:
    assert len(fp32.next_tokens(PROMPT, 10_000)) == 8192


def test_they_are_the_softmax_of_the_logits(fp32: Generator) -> None:
    logits = fp32.logits(PROMPT)[-1]
    options = fp32.next_tokens(PROMPT, 20)
    assert [option.id for option in options] == largest(logits, 20).tolist()
    expected = np.sort(probabilities(logits))[::-1][:20]
    np.testing.assert_allclose([option.probability for option in options], expected, rtol=1e-3)


def test_the_first_is_the_greedy_token(generator: Generator) -> None:
    result = generator.generate(PROMPT, GenerationConfig(max_new_tokens=1, logprobs=True))
    first = generator.next_tokens(PROMPT, 1)[0]
    assert (first.id, first.text) == (result.ids[0], result.text)
    assert result.logprobs is not None
    assert np.log(first.probability) == pytest.approx(result.logprobs[0], abs=1e-5)


def test_the_trained_model_knows_english(fp32: Generator) -> None:
    # transformers 4.57 on the same checkpoint; models/sample/README.md rounds them
    options = {option.text: option.probability for option in fp32.next_tokens('"What do you', 3)}
    assert options == pytest.approx({" mean": 0.264, " want": 0.177, " think": 0.161}, abs=2e-3)


@pytest.mark.parametrize("k", [0, -1])
def test_k_is_at_least_1(fp32: Generator, k: int) -> None:
    with pytest.raises(GenerationError, match=f"k is {k}; it must be at least 1"):
        fp32.next_tokens(PROMPT, k)
