"""What happens once the context is full: stop, or slide."""

from __future__ import annotations

import pytest

from gpt2_edge import GenerationConfig, Generator

CONTEXT = 512


@pytest.fixture(scope="module")
def prompt(ids: list[int]) -> list[int]:
    return (ids * 13)[:500]


def sliding(tokens: int) -> GenerationConfig:
    return GenerationConfig(max_new_tokens=tokens, context_overflow="slide", ignore_eos=True)


def test_stop_ends_with_the_token_behind_a_full_context(fp32: Generator, prompt: list[int]) -> None:
    result = fp32.generate(prompt, GenerationConfig(max_new_tokens=50, ignore_eos=True))
    assert (len(result.ids), result.finish_reason) == (CONTEXT - 500 + 1, "length")


def test_a_prompt_that_fills_the_context_has_one_token_behind_it(
    fp32: Generator, ids: list[int]
) -> None:
    prompt = (ids * 13)[:CONTEXT]
    result = fp32.generate(prompt, GenerationConfig(max_new_tokens=50))
    assert result.ids == (int(fp32.logits(prompt)[-1].argmax()),)
    assert result.finish_reason == "length"


def test_slide_goes_on(int4: Generator, prompt: list[int]) -> None:
    result = int4.generate(prompt, sliding(700))  # the window slides twice
    assert (len(result.ids), result.finish_reason) == (700, "length")


def test_slide_is_stop_until_the_context_is_full(fp32: Generator, prompt: list[int]) -> None:
    stopped = fp32.generate(prompt, GenerationConfig(max_new_tokens=50, ignore_eos=True)).ids
    assert fp32.generate(prompt, sliding(50)).ids[: len(stopped)] == stopped


def test_slide_goes_on_from_the_newer_half_of_the_window(
    fp32: Generator, prompt: list[int]
) -> None:
    result = fp32.generate(prompt, sliding(40))
    written = [*prompt, *result.ids]
    for position in range(CONTEXT + 1, len(written)):
        window = written[CONTEXT // 2 : position]
        assert written[position] == fp32.logits(window)[-1].argmax()


def test_slide_of_a_seeded_text_is_repeatable(int4: Generator, prompt: list[int]) -> None:
    config = GenerationConfig(
        max_new_tokens=60, context_overflow="slide", ignore_eos=True, top_k=40, seed=3
    )
    first = int4.generate(prompt, config)
    assert len(first.ids) == 60
    assert int4.generate(prompt, config).ids == first.ids


def test_a_text_that_filled_the_context_leaves_its_neighbours_alone(
    fp32: Generator, prompt: list[int]
) -> None:
    config = GenerationConfig(max_new_tokens=40, ignore_eos=True, do_sample=False)
    prompts = [prompt, prompt[:5], prompt[:7]]
    alone = [fp32.generate(each, config).ids for each in prompts]
    together = fp32.generate_batch(prompts, config)
    assert [result.ids for result in together] == alone
    assert [len(ids) for ids in alone] == [CONTEXT - 500 + 1, 40, 40]
