"""Figures and their standard errors, worked out by hand."""

from __future__ import annotations

import math

import pytest

from gpt2_edge.measure.evaluate import paper
from gpt2_edge.measure.evaluate.record import accuracy, perplexity
from gpt2_edge.measure.scores import exponential


def test_accuracy_is_in_percent_with_the_error_of_a_binomial() -> None:
    figure = accuracy("accuracy", [True, False, False, False])
    assert figure.value == 25
    assert figure.standard_error == pytest.approx(100 * math.sqrt(0.25 * 0.75 / 4))


@pytest.mark.parametrize("hit", [True, False])
def test_accuracy_without_spread_has_no_error(hit: bool) -> None:
    figure = accuracy("accuracy", [hit] * 3)
    assert (figure.value, figure.standard_error) == (100 * hit, 0)


def test_perplexity_by_the_delta_method() -> None:
    # Losses 1 and 3: mean 2, standard deviation sqrt(2), of the mean 1.
    figure = perplexity("perplexity", [-1.0, -3.0])
    assert figure.value == pytest.approx(math.exp(2))
    assert figure.standard_error == pytest.approx(math.exp(2))


def test_one_item_has_no_spread() -> None:
    assert perplexity("perplexity", [-1.0]).standard_error is None


def test_a_loss_too_large_for_a_float_is_infinite() -> None:
    assert exponential(1000.0) == math.inf


def test_seventy_and_seven_tenths_are_193_of_273() -> None:
    """The paper's figure counts all problems, which the docs build on."""
    assert round(100 * 193 / 273, 2) == paper.WINOGRAD_ACCURACY["1542M"]
