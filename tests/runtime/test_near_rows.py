"""Texts that run at the same time get neighbouring rows: a step computes all rows between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.calls import make_job
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import SingleText
from gpt2_edge.decode.rows import SharedRows
from gpt2_edge.generate import Generator

LONG = {"max_new_tokens": 400, "ignore_eos": True, "do_sample": False}


@pytest.fixture(scope="module")
def generator(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32, threads=1)


def request(generator: Generator, prompt: str, **settings: Any) -> SingleText:
    ((found, _),) = make_job(generator, prompt, None, None, settings).requests()
    assert isinstance(found, SingleText)
    return found


def written(decoder: Decoder, text: SingleText) -> list[int]:
    """The rows that `text` had while it was written to its end."""
    decoder.submit(text)
    rows: list[int] = []
    while not text.over:
        decoder.step()
        rows += text.rows
    return rows


def test_short_texts_stay_beside_a_long_one(generator: Generator) -> None:
    rows = SharedRows(generator.session, 8, generator.context_length)
    decoder = Decoder(rows)
    long = request(generator, "The old man", **LONG)
    decoder.submit(long)
    decoder.step()
    (own,) = long.rows
    for number in range(6):
        short = request(generator, f"It was {number}", max_new_tokens=3, ignore_eos=True)
        assert set(written(decoder, short)) == {own ^ 1}  # the other row of its pair
    assert not long.over


def test_a_prompt_that_lies_elsewhere_is_copied(generator: Generator) -> None:
    rows = SharedRows(generator.session, 8, generator.context_length)
    decoder = Decoder(rows)
    prompt = "It was late in the evening, and the old man turned to the door"
    first = request(generator, prompt, max_new_tokens=4, ignore_eos=True, do_sample=False)
    others = [request(generator, f"{n}", max_new_tokens=9, ignore_eos=True) for n in range(6)]
    for text in (*others, first):
        decoder.submit(text)
    far: list[int] = []
    while not first.over:
        decoder.step()
        far = first.rows or far
    while not all(text.over for text in others):
        decoder.step()
    assert far == [6]
    long = request(generator, "The old man", **LONG)
    decoder.submit(long)
    decoder.step()
    again = request(generator, prompt, max_new_tokens=4, ignore_eos=True, do_sample=False)
    near = set(written(decoder, again))
    assert {row // 2 for row in near} == {long.rows[0] // 2}
    assert again.cached_tokens == len(again.prompt) - 1
    assert again.new_ids == first.new_ids
    # What was copied is still where it was, for whoever comes next.
    assert rows.ids[6][: len(again.prompt)] == again.prompt


def test_what_a_step_computes(generator: Generator) -> None:
    rows = SharedRows(generator.session, 8, 32)
    for taken, span in (([0], 2), ([3], 2), ([2, 3], 2), ([1, 2], 4), ([0, 7], 8), ([5, 4, 6], 4)):
        assert rows.span(taken) == span
    assert SharedRows(generator.session, 1, 32).span([0]) == 1
