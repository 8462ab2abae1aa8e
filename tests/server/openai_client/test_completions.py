"""Completions by the `openai` package; values are those of the library."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from gpt2_edge import GenerationResult, Generator
from server.openai_client.calls import PROMPT, drawn, greedy


def test_a_text(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(model=model, prompt=PROMPT, seed=7)
    expected = drawn(generator, seed=7)
    (choice,) = answer.choices
    assert choice.text == expected.text
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert answer.object == "text_completion"
    assert answer.model == model
    assert answer.id
    assert answer.created > 0
    count = len(generator.encode(PROMPT))
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (count, 16)
    assert usage.total_tokens == count + 16


def test_temperature_zero_is_greedy(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(model=model, prompt=PROMPT, temperature=0, max_tokens=40)
    assert answer.choices[0].text == greedy(generator, max_new_tokens=40).text


def test_a_seed_gives_the_same_text_twice_and_others_give_others(client: Any, model: str) -> None:
    def text(**settings: Any) -> str:
        answer = client.completions.create(model=model, prompt=PROMPT, **settings)
        found: str = answer.choices[0].text
        return found

    assert text(seed=11) == text(seed=11)
    assert len({text(seed=seed) for seed in range(4)}) > 1
    assert len({text() for _ in range(4)}) > 1


@pytest.mark.parametrize(
    ("asked", "ours"),
    [
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"temperature": 0.4}, {"temperature": 0.4}),
        ({"presence_penalty": 1.5}, {"presence_penalty": 1.5}),
        ({"frequency_penalty": 2}, {"frequency_penalty": 2}),
        ({"logit_bias": {"13": 6, "100": -100}}, {"logit_bias": {13: 6.0, 100: -100.0}}),
        ({"extra_body": {"top_k": 3}}, {"top_k": 3}),
        ({"extra_body": {"min_p": 0.2}}, {"min_p": 0.2}),
        ({"extra_body": {"typical_p": 0.5}}, {"typical_p": 0.5}),
        ({"extra_body": {"repetition_penalty": 1.3}}, {"repetition_penalty": 1.3}),
        ({"extra_body": {"no_repeat_ngram_size": 2}}, {"no_repeat_ngram_size": 2}),
        ({"extra_body": {"do_sample": False}}, {"do_sample": False, "temperature": None}),
        ({"extra_body": {"prompt_lookup_num_tokens": 4}}, {"prompt_lookup_num_tokens": 4}),
        ({"extra_body": {"ignore_eos": True}}, {"ignore_eos": True}),
        ({"extra_body": {"min_new_tokens": 40}}, {"min_new_tokens": 40}),
    ],
    ids=str,
)
def test_settings_are_those_of_the_library(
    client: Any, model: str, generator: Generator, asked: Any, ours: Any
) -> None:
    answer = client.completions.create(model=model, prompt=PROMPT, seed=3, max_tokens=40, **asked)
    settings = {"seed": 3, "max_new_tokens": 40} | ours
    assert answer.choices[0].text == drawn(generator, **settings).text


def test_grammars(client: Any, model: str) -> None:
    pytest.importorskip("llguidance")
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    for extra, check in (
        ({"regex": "[0-9]{4}"}, lambda text: len(text) == 4 and text.isdigit()),
        ({"choices": [" yes", " no"]}, lambda text: text in (" yes", " no")),
        ({"json_schema": schema}, lambda text: isinstance(json.loads(text)["ok"], bool)),
    ):
        answer = client.completions.create(
            model=model, prompt=PROMPT, max_tokens=60, seed=1, temperature=0.5, extra_body=extra
        )
        assert check(answer.choices[0].text), (extra, answer.choices[0].text)


def test_a_stop_string_is_cut_off(client: Any, model: str, generator: Generator) -> None:
    whole = greedy(generator, max_new_tokens=30).text
    assert whole is not None
    stop = whole.split()[3]
    answer = client.completions.create(
        model=model, prompt=PROMPT, temperature=0, max_tokens=30, stop=stop
    )
    assert answer.choices[0].text == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    answer = client.completions.create(
        model=model, prompt=PROMPT, temperature=0, max_tokens=30, stop=["\x00never", stop]
    )
    assert answer.choices[0].text == whole[: whole.index(stop)]


def test_an_end_of_text_token_is_a_stop(client: Any, model: str, generator: Generator) -> None:
    (end,) = generator.manifest.eos_token_ids
    answer = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=8, logit_bias={str(end): 100}
    )
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("", "stop")


def test_several_texts_of_a_prompt(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(model=model, prompt=PROMPT, seed=5, n=4)
    expected = drawn(generator, seed=5, num_return_sequences=4).sequences
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == [each.text for each in expected]
    assert answer.usage.prompt_tokens == len(generator.encode(PROMPT))
    assert answer.usage.completion_tokens == sum(len(each.ids) for each in expected)


def test_the_best_of_several(client: Any, model: str, generator: Generator) -> None:
    answer = client.completions.create(model=model, prompt=PROMPT, seed=5, n=2, best_of=5)
    texts = drawn(generator, seed=5, num_return_sequences=5, logprobs=True).sequences

    def per_token(result: GenerationResult) -> float:
        assert result.logprobs is not None
        return math.fsum(result.logprobs) / len(result.logprobs)

    best = sorted(texts, key=per_token, reverse=True)[:2]
    assert [choice.text for choice in answer.choices] == [each.text for each in best]
    assert [choice.index for choice in answer.choices] == [0, 1]
    # Tokens that were written and not shown count, as OpenAI says.
    assert answer.usage.completion_tokens == sum(len(each.ids) for each in texts)


def test_lists_of_prompts_and_token_ids(client: Any, model: str, generator: Generator) -> None:
    prompts = ["One day", "The old man", PROMPT]
    ids = [generator.encode(prompt) for prompt in prompts]
    expected = [greedy(generator, prompt).text for prompt in prompts]
    for given in (prompts, ids):
        answer = client.completions.create(model=model, prompt=given, temperature=0)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert [choice.text for choice in answer.choices] == expected
        assert answer.usage.prompt_tokens == sum(map(len, ids))
    answer = client.completions.create(model=model, prompt=ids[1], temperature=0)
    assert [choice.text for choice in answer.choices] == [expected[1]]
    answer = client.completions.create(model=model, prompt=prompts[:2], temperature=0, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    twice = [text for text in expected[:2] for _ in range(2)]
    assert [choice.text for choice in answer.choices] == twice


def test_special_tokens_in_a_text_are_text(client: Any, model: str, generator: Generator) -> None:
    prompt = "An end.<|endoftext|>A new beginning"
    plain = generator.encode(prompt, parse_special=False)
    special = generator.encode(prompt)
    assert len(plain) > len(special)
    for extra, ids in (({}, plain), ({"parse_special": True}, special)):
        answer = client.completions.create(
            model=model, prompt=prompt, temperature=0, extra_body=extra
        )
        assert answer.usage.prompt_tokens == len(ids)
        assert answer.choices[0].text == greedy(generator, ids).text


def test_an_empty_prompt_is_the_beginning_of_a_text(
    client: Any, model: str, generator: Generator
) -> None:
    answer = client.completions.create(model=model, prompt="", temperature=0)
    begin = generator.manifest.bos_token_id
    assert answer.choices[0].text == greedy(generator, [begin]).text


def test_a_prompt_that_slides(client: Any, model: str, generator: Generator) -> None:
    prompt = "word " * 600
    answer = client.completions.create(
        model=model,
        prompt=prompt,
        temperature=0,
        extra_body={"context_overflow": "slide", "keep": 4},
    )
    expected = greedy(generator, prompt, context_overflow="slide", keep=4)
    assert answer.choices[0].text == expected.text
