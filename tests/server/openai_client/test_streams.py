"""Streams by the `openai` package: pieces, usage, and clients that go away."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2_edge import Generator
from server.openai_client.calls import PROMPT, drawn, greedy


def test_pieces_are_the_text(client: Any, model: str, generator: Generator) -> None:
    chunks = list(
        client.completions.create(model=model, prompt=PROMPT, seed=7, max_tokens=60, stream=True)
    )
    expected = drawn(generator, seed=7, max_new_tokens=60)
    assert "".join(chunk.choices[0].text for chunk in chunks) == expected.text
    assert len(chunks) > 20
    assert len({chunk.id for chunk in chunks}) == 1
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons[-1] == "length"
    assert set(reasons[:-1]) == {None}
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_where_it_is_asked_for(client: Any, model: str, generator: Generator) -> None:
    *chunks, last = client.completions.create(
        model=model,
        prompt=PROMPT,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    count = len(generator.encode(PROMPT))
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (count, 16)


def test_several_texts(client: Any, model: str, generator: Generator) -> None:
    texts = dict.fromkeys(range(6), "")
    reasons: dict[int, str] = {}
    for chunk in client.completions.create(
        model=model, prompt=["One day", PROMPT], seed=4, n=3, stream=True
    ):
        for choice in chunk.choices:
            assert choice.index not in reasons
            texts[choice.index] += choice.text
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    expected = [
        each.text
        for prompt in ("One day", PROMPT)
        for each in drawn(generator, prompt, seed=4, num_return_sequences=3).sequences
    ]
    assert list(texts.values()) == expected
    assert len(reasons) == 6


def test_logprobs_and_echo(client: Any, model: str, generator: Generator) -> None:
    settings = {"prompt": PROMPT, "temperature": 0, "logprobs": 2, "echo": True}
    whole = client.completions.create(model=model, **settings).choices[0]
    text, tokens, logprobs, offsets = "", [], [], []
    for chunk in client.completions.create(model=model, stream=True, **settings):
        for choice in chunk.choices:
            text += choice.text
            if choice.logprobs:
                tokens += choice.logprobs.tokens
                logprobs += choice.logprobs.token_logprobs
                offsets += choice.logprobs.text_offset
    assert text == whole.text
    assert tokens == whole.logprobs.tokens
    assert logprobs[0] is None
    assert logprobs[1:] == pytest.approx(whole.logprobs.token_logprobs[1:], abs=1e-4)
    assert offsets == whole.logprobs.text_offset


def test_a_stop_string_is_never_shown(client: Any, model: str, generator: Generator) -> None:
    whole = greedy(generator, max_new_tokens=30).text
    assert whole is not None
    stop = " ".join(whole.split()[3:5])
    assert stop in whole
    chunks = list(
        client.completions.create(
            model=model, prompt=PROMPT, temperature=0, max_tokens=30, stop=[stop], stream=True
        )
    )
    text = "".join(chunk.choices[0].text for chunk in chunks)
    assert text == whole[: whole.index(stop)]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_client_that_goes_away_leaves_the_others_alone(
    client: Any, model: str, generator: Generator
) -> None:
    stream = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=400, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    answer = client.completions.create(model=model, prompt=PROMPT, temperature=0)
    assert answer.choices[0].text == greedy(generator).text
