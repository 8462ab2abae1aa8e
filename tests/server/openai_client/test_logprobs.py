"""Log-probabilities by the `openai` package, of new tokens and of the prompt."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2_edge import Generator
from gpt2_edge.measure.score import score_tokens
from server.openai_client.calls import PROMPT, drawn, greedy


def test_of_new_tokens(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(model=model, prompt=PROMPT, seed=2, logprobs=3)
    expected = drawn(generator, seed=2, logprobs=True, top_logprobs=3)
    assert expected.top_logprobs is not None
    assert answer.choices[0].text == expected.text
    found = answer.choices[0].logprobs
    assert found.tokens == [generator.token_label(token) for token in expected.ids]
    assert found.token_logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    for token, logprob, top, best in zip(
        found.tokens, found.token_logprobs, found.top_logprobs, expected.top_logprobs,
        strict=True,
    ):  # fmt: skip
        labels = {generator.token_label(number): value for number, value in best}
        assert labels.items() <= {k: pytest.approx(v, abs=1e-4) for k, v in top.items()}.items()
        # As OpenAI has it: the token that was drawn is there, too.
        assert top[token] == logprob
        assert len(top) in (3, 4)
    starts = found.text_offset
    assert starts == sorted(starts)
    assert starts[0] == len(PROMPT)
    assert len(starts) == len(expected.ids)


def test_of_the_prompt_with_echo(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(
        model=model, prompt=PROMPT, temperature=0, max_tokens=3, logprobs=2, echo=True
    )
    text = greedy(generator, max_new_tokens=3, logprobs=True)
    scored = score_tokens(generator, generator.encode(PROMPT))
    assert answer.choices[0].text == PROMPT + str(text)
    found = answer.choices[0].logprobs
    ids = [*generator.encode(PROMPT), *text.ids]
    assert found.tokens == [generator.token_label(token) for token in ids]
    assert found.token_logprobs[0] is None
    assert found.top_logprobs[0] is None
    expected = [token.logprob for token in scored[1:]] + list(text.logprobs or ())
    assert found.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)
    assert found.text_offset[0] == 0
    for token, start in zip(found.tokens, found.text_offset, strict=True):
        assert answer.choices[0].text[start:].startswith(token)


def test_echo_without_new_tokens(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=0, logprobs=1, echo=True
    )
    assert answer.choices[0].text == PROMPT
    scored = score_tokens(generator, generator.encode(PROMPT))
    found = answer.choices[0].logprobs
    assert found.token_logprobs[0] is None
    expected = [token.logprob for token in scored[1:]]
    assert found.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)
    for logprob, top, token in zip(
        found.token_logprobs[1:], found.top_logprobs[1:], scored[1:], strict=True
    ):
        # What lm-evaluation-harness compares: the very same number where it is the likeliest.
        assert (max(top.values()) == logprob) == (token.rank == 1)
    assert answer.usage.completion_tokens == 0


def test_echo_alone(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(
        model=model, prompt=["One day", PROMPT], temperature=0, max_tokens=4, echo=True
    )
    texts = [f"{each}{greedy(generator, each, max_new_tokens=4)}" for each in ("One day", PROMPT)]
    assert [choice.text for choice in answer.choices] == texts
    assert answer.choices[0].logprobs is None
