"""Sampling against distributions of four tokens worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, GenerationError, sampling
from gpt2_edge.sampling import (
    Candidates,
    SplitMix64,
    draw,
    greedy,
    largest,
    log_probability,
    make_chooser,
    min_p_truncation,
    most_likely,
    top_p_truncation,
)
from helpers import assert_one_line

ALL = 4


def make_sampler(config: GenerationConfig, seed: int) -> Callable[[np.ndarray], int]:  # type: ignore[type-arg]
    """Draw after draw, as a text is written."""
    choose, numbers = make_chooser(config.resolved(), seed), count()
    return lambda logits: choose(logits, next(numbers))


def candidates(
    logits: np.ndarray,  # type: ignore[type-arg]
    temperature: float,
    top_k: int,
    top_p: float,
    reach: float = 1.0,
) -> Candidates:
    truncations = [top_p_truncation(top_p)] if top_p < 1 else []
    return sampling.candidates(logits, temperature, top_k, truncations, reach=reach)


# Token 1 has 1/2, token 3 has 1/4, tokens 0 and 2 have 1/8 each.
LOGITS = np.log(np.array([1, 4, 1, 2], np.float32))
EQUAL = np.zeros(4, np.float32)


def test_greedy_takes_the_largest_logit() -> None:
    assert greedy(LOGITS) == 1


def test_greedy_takes_the_lower_id_of_equals() -> None:
    assert greedy(np.array([1, 3, 3, 0], np.float32)) == 1


def test_a_temperature_of_0_is_greedy() -> None:
    choose = make_sampler(GenerationConfig(temperature=0, top_k=ALL, seed=1), seed=1)
    assert {choose(LOGITS) for _ in range(50)} == {1}


def test_candidates_are_ordered_by_logit_then_by_id() -> None:
    assert candidates(LOGITS, 1.0, ALL, 1.0).ids.tolist() == [1, 3, 0, 2]


def test_the_whole_vocabulary_keeps_its_probabilities() -> None:
    kept = candidates(LOGITS, 1.0, ALL, 1.0)
    np.testing.assert_allclose(kept.cumulative / kept.whole, [4 / 8, 6 / 8, 7 / 8, 1], rtol=1e-6)


def test_top_k_renormalizes_the_k_likeliest() -> None:
    kept = candidates(LOGITS, 1.0, 2, 1.0)
    assert kept.ids.tolist() == [1, 3]
    np.testing.assert_allclose(kept.cumulative / kept.whole, [2 / 3, 1], rtol=1e-6)


def test_top_k_takes_the_lower_id_of_equals() -> None:
    assert candidates(LOGITS, 1.0, 3, 1.0).ids.tolist() == [1, 3, 0]
    assert candidates(EQUAL, 1.0, 2, 1.0).ids.tolist() == [0, 1]


def test_top_k_of_1_draws_the_greedy_token() -> None:
    kept = candidates(LOGITS, 1.0, 1, 1.0)
    assert [kept.at(u) for u in (0.0, 0.5, 1 - 2**-53)] == [1, 1, 1]


def test_top_p_keeps_a_set_that_exactly_reaches_p() -> None:
    assert candidates(EQUAL, 1.0, ALL, 0.5).ids.tolist() == [0, 1]


def test_top_p_just_above_a_cumulative_probability_keeps_one_token_more() -> None:
    assert candidates(EQUAL, 1.0, ALL, 0.5 + 1e-12).ids.tolist() == [0, 1, 2]


def test_top_p_below_the_first_probability_keeps_the_first_token() -> None:
    assert candidates(LOGITS, 1.0, ALL, 1e-9).ids.tolist() == [1]


def test_top_p_draws_among_the_kept_tokens_only() -> None:
    kept = candidates(EQUAL, 1.0, ALL, 0.5)
    assert [kept.at(u) for u in (0.0, 0.4999, 0.5, 1 - 2**-53)] == [0, 0, 1, 1]


def test_top_p_counts_within_top_k() -> None:
    # Of the whole vocabulary, token 1 has 0.5 and does not reach 0.6; of the top 2 it has 2/3.
    assert candidates(LOGITS, 1.0, ALL, 0.6).ids.tolist() == [1, 3]
    assert candidates(LOGITS, 1.0, 2, 0.6).ids.tolist() == [1]


def test_temperature_raises_probabilities_to_its_inverse() -> None:
    logits = np.log(np.array([1, 16, 1, 4], np.float32))  # square roots: 1, 4, 1, 2
    kept = candidates(logits, 2.0, ALL, 1.0)
    np.testing.assert_allclose(kept.cumulative / kept.whole, [4 / 8, 6 / 8, 7 / 8, 1], rtol=1e-6)


def test_temperature_comes_before_top_p() -> None:
    # Squared: 16, 4, 1, 1 of 22; token 1 alone then has 0.73.
    assert candidates(LOGITS, 0.5, ALL, 0.7).ids.tolist() == [1]


@pytest.mark.parametrize("top_k", [2, ALL])
@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-60])
def test_a_temperature_close_to_0_is_close_to_greedy(temperature: float, top_k: int) -> None:
    assert candidates(LOGITS, temperature, top_k, 1.0, reach=0.9).at(0.9) == 1


@pytest.mark.parametrize(
    ("u", "token"),
    [(0.0, 0), (0.25 - 2**-53, 0), (0.25, 1), (0.5, 2), (0.75, 3), (1 - 2**-53, 3)],
)
def test_a_draw_inverts_the_cumulative_distribution(u: float, token: int) -> None:
    assert candidates(EQUAL, 1.0, ALL, 1.0, reach=u).at(u) == token


def test_every_token_is_drawn_as_often_as_its_probability_says() -> None:
    choose = make_sampler(GenerationConfig(top_k=ALL, seed=0), seed=0)
    counts = np.bincount([choose(LOGITS) for _ in range(8000)], minlength=4)
    # The standard deviation is at most 45; the seed is fixed.
    np.testing.assert_allclose(counts, [1000, 4000, 1000, 2000], atol=150)


def test_the_default_top_k_is_50() -> None:
    choose = make_sampler(GenerationConfig(do_sample=True, temperature=1e6), seed=0)
    descending = -np.arange(100, dtype=np.float32)
    assert {choose(descending) for _ in range(2000)} == set(range(50))


def test_each_draw_takes_one_number_of_the_generator() -> None:
    random = SplitMix64(11)
    choose = make_sampler(GenerationConfig(top_k=ALL, seed=11), seed=11)
    assert [choose(EQUAL) for _ in range(20)] == [int(4 * random.uniform()) for _ in range(20)]


def test_log_probability() -> None:
    assert log_probability(LOGITS, 3) == pytest.approx(math.log(1 / 4), rel=1e-6)
    assert log_probability(LOGITS + 1000, 3) == pytest.approx(math.log(1 / 4), rel=1e-4)


def test_most_likely() -> None:
    ids, shares = most_likely(LOGITS, 2, 1.0, 0, 1.0)
    assert ids.tolist() == [1, 3]
    np.testing.assert_allclose(shares, [1 / 2, 1 / 4], rtol=1e-6)
    ids, shares = most_likely(2000 * LOGITS, 9, 1.0, 0, 1.0)
    assert (ids.tolist(), shares.tolist()) == ([1, 3, 0, 2], [1, 0, 0, 0])


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    "logits",
    [[0, NAN, 1, 2], [NAN] * 4, [9, 0, 0, NAN], [NAN, 5, 5, 5], [-INF] * 4, [0, INF, 1, INF]],
    ids=["one", "all", "behind", "first", "nothing", "infinite"],
)
@pytest.mark.parametrize("vocab", [4, 3000])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_k": 2},
        {"top_k": 0},
        {"top_k": 0, "top_p": 0.5},
        {"top_k": 0, "temperature": 1e-3},
        {"top_p": 0},
        {"top_k": 2, "top_p": 0.5},
    ],
)
@pytest.mark.filterwarnings("error")
def test_logits_that_are_not_numbers_are_no_token(
    logits: list[float], vocab: int, settings: dict[str, float]
) -> None:
    filling = -INF if logits == [-INF] * 4 else 0
    row = np.array([*logits, *[filling] * (vocab - 4)], np.float32)
    choose = make_sampler(GenerationConfig(**settings), seed=3)  # type: ignore[arg-type]
    with pytest.raises(GenerationError) as raised:
        choose(row)
    assert_one_line(raised.value, "logits that are not numbers", "another recipe", "provider")
    with pytest.raises(GenerationError):
        log_probability(row, 1)
    with pytest.raises(GenerationError):
        most_likely(row, 3, 1.0, 0, 1.0)


@pytest.mark.filterwarnings("error")
def test_a_token_that_cannot_come_is_never_drawn() -> None:
    row = np.array([0, -INF, 1, -INF], np.float32)
    for settings in ({}, {"top_k": 0}, {"top_k": 3}, {"top_k": 0, "top_p": 0.9}):
        choose = make_sampler(GenerationConfig(**settings), seed=3)  # type: ignore[arg-type]
        assert {choose(row) for _ in range(100)} <= {0, 2}


@pytest.mark.parametrize("top_k", [0, 4, 5, 10**30])
def test_a_top_k_of_0_is_the_whole_vocabulary(top_k: int) -> None:
    kept = candidates(LOGITS, 1.0, top_k, 1.0)
    assert kept.ids.tolist() == candidates(LOGITS, 1.0, ALL, 1.0).ids.tolist()
    # It sorts no further than a draw needs, as for the vocabulary's size.
    many = np.zeros(6000, np.float32)
    if top_k in (0, 10**30):
        assert len(candidates(many, 1.0, top_k, 1.0, reach=0.1).ids) == 1024


def test_a_top_p_of_0_draws_the_greedy_token() -> None:
    choose = make_sampler(GenerationConfig(top_p=0), seed=3)
    assert {choose(LOGITS) for _ in range(50)} == {1}
    assert {choose(EQUAL) for _ in range(50)} == {0}


@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.uint64, np.int8])
def test_a_seed_of_numpy_draws_as_python_s(kind: type) -> None:
    config = GenerationConfig(seed=kind(7))
    assert config.seed is not None
    draws = [make_sampler(config, config.seed)(EQUAL) for _ in range(20)]
    assert draws == [make_sampler(config, 7)(EQUAL) for _ in range(20)]


@pytest.mark.parametrize(
    ("k", "ids"), [(1, [1]), (2, [1, 3]), (3, [1, 3, 0]), (4, [1, 3, 0, 2]), (9, [1, 3, 0, 2])]
)
def test_largest(k: int, ids: list[int]) -> None:
    assert largest(LOGITS, k).tolist() == ids


def test_the_draws_are_those_of_the_generator_in_order() -> None:
    random = SplitMix64(99)
    assert [draw(99, number) for number in range(100)] == [random.uniform() for _ in range(100)]


@pytest.mark.parametrize(
    ("min_p", "ids"), [(0.24, [1, 3, 0, 2]), (0.26, [1, 3]), (0.49, [1, 3]), (0.51, [1]), (1, [1])]
)
def test_min_p_keeps_what_is_likely_beside_the_most_likely(min_p: float, ids: list[int]) -> None:
    # Beside token 1, token 3 is half as likely and the others a quarter.
    logits = np.log2(np.array([1, 4, 1, 2], np.float32)) * np.float32(math.log(2))
    kept = sampling.candidates(logits, 1.0, 0, [min_p_truncation(min_p)])
    assert kept.ids.tolist() == ids


def test_min_p_and_top_p_together_keep_the_lesser() -> None:
    both = [top_p_truncation(0.9), min_p_truncation(0.4)]
    assert sampling.candidates(LOGITS, 1.0, 0, both).ids.tolist() == [1, 3]
    both = [top_p_truncation(0.3), min_p_truncation(0.4)]
    assert sampling.candidates(LOGITS, 1.0, 0, both).ids.tolist() == [1]


def test_min_p_of_a_large_vocabulary_sorts_as_far_as_it_needs() -> None:
    logits = np.concatenate([np.zeros(3000), np.full(3000, -5)]).astype(np.float32)
    kept = sampling.candidates(logits, 1.0, 0, [min_p_truncation(0.5)])
    assert len(kept.ids) == 3000


def test_typical_p_keeps_what_surprises_as_expected() -> None:
    # Information is 1, 2, 3 and 3 bits, entropy 1.75: token 3 is nearest, then token 1.
    for mass, ids in ((0.2, [3]), (0.24, [3]), (0.3, [1, 3]), (0.76, [1, 3, 0, 2])):
        kept = sampling.candidates(LOGITS, 1.0, 0, typical_p=mass)
        assert kept.ids.tolist() == ids
    assert [kept.at(u) for u in (0.0, 0.6, 0.8, 0.99)] == [1, 3, 0, 2]
