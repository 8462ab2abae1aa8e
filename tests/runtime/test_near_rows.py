"""Texts that run at the same time get neighbouring rows: a step computes all rows between them."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
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
    # With nothing in common, or the row that has the beginning already would be taken for that.
    for prompt in ("It was", "She said", "When all", "In front", "Many men", "But then"):
        short = request(generator, prompt, max_new_tokens=3, ignore_eos=True)
        assert set(written(decoder, short)) == {own ^ 1}  # the other row of its pair
    assert not long.over


def test_a_prompt_that_lies_elsewhere_is_copied(generator: Generator) -> None:
    rows = SharedRows(generator.session, 8, generator.context_length)
    decoder = Decoder(rows)
    long = request(generator, "The old man", **LONG)
    prompt = "It was late in the evening, and the old man turned to the door"
    first = request(generator, prompt, max_new_tokens=4, ignore_eos=True, do_sample=False)
    others = [request(generator, f"{n}", max_new_tokens=9, ignore_eos=True) for n in range(5)]
    for text in (long, *others, first):
        decoder.submit(text)
    far: list[int] = []
    while not all(text.over for text in (first, *others)):
        decoder.step()
        far = first.rows or far
    assert (long.rows, far) == ([0], [6])
    again = request(generator, prompt, max_new_tokens=4, ignore_eos=True, do_sample=False)
    assert set(written(decoder, again)) == {1}
    assert again.cached_tokens == len(again.prompt) - 1
    assert again.new_ids == first.new_ids
    # What was copied is still where it was, for whoever comes next.
    assert rows.ids[6][: len(again.prompt)] == again.prompt


def test_what_a_step_computes(generator: Generator) -> None:
    rows = SharedRows(generator.session, 8, 32)
    for taken, span in (([0], 2), ([3], 2), ([2, 3], 2), ([1, 2], 4), ([0, 7], 8), ([5, 4, 6], 4)):
        assert rows.span(taken) == span
    assert SharedRows(generator.session, 1, 32).span([0]) == 1


def test_all_spans_have_their_logits_in_one_place(generator: Generator) -> None:
    rows = SharedRows(generator.session, 8, 32)
    prompts = [rows.step([row], [[row + 1, row + 2]]) for row in range(8)]
    pairs = [(first, end) for first in range(0, 8, 2) for end in range(first + 2, 9, 2)]
    steps = [rows.step(range(*span), [[5]] * (span[1] - span[0])) for span in pairs]
    assert [len(step) for step in steps] == [end - first for first, end in pairs]
    whole = steps[pairs.index((0, 8))]
    assert all(np.shares_memory(logits, whole) for logits in (*prompts, *steps))


def test_a_text_that_ends_while_it_waits_is_forgotten(generator: Generator) -> None:
    decoder = Decoder(SharedRows(generator.session, 1, generator.context_length))
    decoder.submit(request(generator, "The old man", **LONG))
    decoder.step()
    waiting = request(generator, "It was", **LONG)
    decoder.submit(waiting)
    decoder.cancel(waiting)
    left = weakref.ref(waiting)
    del waiting
    gc.collect()
    assert left() is None
