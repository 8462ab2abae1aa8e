"""LAMBADA on hand-made passages, against the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import EvaluationError
from gpt2_edge.measure.evaluate import lambada
from gpt2_edge.measure.evaluate.lambada import Passage
from helpers import assert_one_line
from oracle import Oracle

LogProbabilities = Callable[[Sequence[int], Sequence[int]], np.ndarray]

# The model knows the first word and not the second, which has several tokens.
PASSAGES = ["What do you want", "The rest of the day was spent in zoology"]


def test_figures_are_the_oracle_s(
    fp32: Generator,
    oracle: Oracle,
    logprobs: LogProbabilities,
    write_rows: Callable[..., Path],
    silent: Callable[[str], None],
) -> None:
    losses, hits = [], []
    for text in PASSAGES:
        context, _, word = text.rpartition(" ")
        ids = fp32.encode(context)
        target = fp32.encode(" " + word)
        losses.append(-logprobs(ids, target).sum())
        hits.append(oracle.greedy(ids, len(target)) == target)
    assert hits == [True, False]
    assert len(target) > 1

    path = write_rows(*({"text": text} for text in PASSAGES))
    evaluation = lambada.evaluate(lambada.read(path), fp32, silent)
    assert (evaluation.items, evaluation.truncated, evaluation.skipped) == (2, 0, 0)
    perplexity = evaluation.figure("perplexity")
    assert perplexity.value == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    expected_error = math.exp(np.mean(losses)) * abs(losses[0] - losses[1]) / 2
    assert perplexity.standard_error == pytest.approx(expected_error, rel=1e-4)
    accuracy = evaluation.figure("accuracy")
    assert accuracy.value == 50
    assert accuracy.standard_error == pytest.approx(100 * math.sqrt(0.125))
    assert accuracy.published[0].figures["117M"] == 45.99


def test_the_target_is_what_follows_the_last_space(write_rows: Callable[..., Path]) -> None:
    path = write_rows(
        {"text": "One two three"},
        {"text": ' He said, "Two \n'},
        {"text": "a kind of\n\nPower"},
        {"text": "two  spaces"},
    )
    assert lambada.read(path) == [
        Passage("One two", " three"),
        Passage("He said,", ' "Two'),
        Passage("a kind", " of\n\nPower"),
        Passage("two ", " spaces"),
    ]
    assert len(lambada.read(path, limit=2)) == 2


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, '"text" must be a string'),
        ({"text": 3}, '"text" must be a string'),
        ({"text": "word"}, '"text" must have two words'),
        ({"text": " word "}, '"text" must have two words'),
    ],
    ids=str,
)
def test_a_wrong_row(write_rows: Callable[..., Path], row: object, expected: str) -> None:
    path = write_rows({"text": "two words"}, row)
    with pytest.raises(EvaluationError) as caught:
        lambada.read(path)
    assert_one_line(caught.value, f"{path}, line 2", expected)


def test_passages_too_long_are_cut_or_skipped(
    fp32: Generator, silent: Callable[[str], None]
) -> None:
    passages = [
        Passage("What do you", " mean"),
        Passage(" the" * 600, " mean"),  # cut
        Passage("What", " " + "q9" * 600),  # the target alone is more than the context
    ]
    evaluation = lambada.evaluate(passages, fp32, silent)
    assert (evaluation.items, evaluation.truncated, evaluation.skipped) == (2, 1, 1)
