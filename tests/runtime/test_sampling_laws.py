"""Sampling on logits that nobody worked out: against a full sort, and laws for any logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpt2_edge.drawing import drawn_of_all
from gpt2_edge.sampling import candidates, largest, top_p_truncation

# The sampler sums the weights of a whole vocabulary in float32: a draw this close to the border
# of two tokens may fall on either side.
CLOSE = 1e-6
FIRST_CANDIDATES = 1024  # how far the sampler sorts before it knows that it needs more
VOCAB_SIZE = 6000

any_logits = arrays(
    np.float32, st.integers(1, 60), elements=st.floats(-50, 50, width=32, allow_subnormal=False)
)
temperatures = st.floats(0.05, 20)


def full_sort(logits: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Ids in the order of drawing, and the cumulative distribution, in float64 throughout."""
    order = np.lexsort((np.arange(len(logits)), -logits))
    weights = np.exp((logits[order].astype(np.float64) - logits.max()) / temperature)
    return order, np.cumsum(weights / weights.sum())


@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.8])
def test_drawing_from_the_whole_vocabulary_equals_a_full_sort(
    spread: float, temperature: float
) -> None:
    random = np.random.default_rng(5)
    logits = (spread * random.standard_normal(VOCAB_SIZE)).astype(np.float32)
    order, cumulative = full_sort(logits, temperature)
    rank_of = np.argsort(order)
    borders = np.concatenate([[0.0], cumulative])
    for u in [0.0, *random.random(200), 0.999, 1 - 2**-53]:
        rank = rank_of[candidates(logits, temperature, VOCAB_SIZE, reach=u).at(u)]
        assert borders[rank] - CLOSE <= u < borders[rank + 1] + CLOSE


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.3, 3.0, 300.0])
@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 1.8, 100.0])
@pytest.mark.parametrize("forbidden", [False, True])
def test_a_draw_of_all_is_that_of_a_full_sort(
    spread: float, temperature: float, forbidden: bool
) -> None:
    random = np.random.default_rng(7)
    logits = (spread * random.standard_normal(VOCAB_SIZE)).astype(np.float32)
    logits[random.integers(0, VOCAB_SIZE, 500)] = logits[3]  # equals, by their ids
    if forbidden:
        logits[random.random(VOCAB_SIZE) < 0.9] = -np.inf
        logits[[0, VOCAB_SIZE - 1]] = -np.inf
    order, cumulative = full_sort(logits, temperature)
    rank_of = np.argsort(order)
    borders = np.concatenate([[0.0], cumulative])
    for u in [0.0, *random.random(100), 0.999, 1 - 1e-9, 1 - 2**-53]:
        token = drawn_of_all(logits, np.max(logits), temperature, u)
        rank = rank_of[token]
        assert borders[rank] - CLOSE <= u < borders[rank + 1] + CLOSE
        assert logits[token] > -np.inf


@given(any_logits, temperatures, st.floats(0, 1 - 2**-53))
def test_a_draw_of_all_is_the_sorted_candidates(
    logits: np.ndarray, temperature: float, u: float
) -> None:
    order, cumulative = full_sort(logits, temperature)
    if np.min(np.abs(cumulative - u)) > CLOSE:  # away from borders it is one token's
        expected = order[np.searchsorted(cumulative, u, side="right")]
        assert drawn_of_all(logits, np.max(logits), temperature, u) == expected
        assert candidates(logits, temperature, 0, reach=u).at(u) == expected


def test_only_as_much_is_sorted_as_the_draw_needs() -> None:
    logits = np.zeros(VOCAB_SIZE, np.float32)
    assert len(candidates(logits, 1.0, VOCAB_SIZE, reach=0.1).ids) == FIRST_CANDIDATES
    assert len(candidates(logits, 1.0, VOCAB_SIZE, reach=0.9).ids) == VOCAB_SIZE


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.999])
def test_top_p_of_the_whole_vocabulary_equals_a_full_sort(top_p: float) -> None:
    logits = np.random.default_rng(6).standard_normal(VOCAB_SIZE).astype(np.float32)
    order, cumulative = full_sort(logits, 1.0)
    kept = candidates(logits, 1.0, VOCAB_SIZE, [top_p_truncation(top_p)])
    count = len(kept.ids)
    assert kept.ids.tolist() == order[:count].tolist()
    assert cumulative[count - 2] < top_p + CLOSE
    assert cumulative[count - 1] >= top_p - CLOSE


@settings(max_examples=100, deadline=None)
@given(any_logits, st.integers(1, 80))
def test_largest_is_the_beginning_of_a_stable_sort(logits: np.ndarray, k: int) -> None:
    assert largest(logits, k).tolist() == full_sort(logits, 1.0)[0][:k].tolist()


@settings(max_examples=200, deadline=None)
@given(any_logits, temperatures, st.integers(1, 80), st.floats(1e-6, 1), st.floats(0, 1 - 2**-53))
def test_something_is_kept_and_it_is_the_likeliest(
    logits: np.ndarray, temperature: float, top_k: int, top_p: float, u: float
) -> None:
    kept = candidates(logits, temperature, top_k, [top_p_truncation(top_p)], reach=u)
    order, _ = full_sort(logits, temperature)
    assert 1 <= len(kept.ids) <= top_k
    assert kept.ids.tolist() == order[: len(kept.ids)].tolist()
    assert len(kept.cumulative) == len(kept.ids)
    assert kept.cumulative[0] > 0
    assert (np.diff(kept.cumulative) >= 0).all()
    assert kept.at(u) in kept.ids


@settings(max_examples=100, deadline=None)
@given(any_logits, temperatures, st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_larger_top_p_keeps_no_less(
    logits: np.ndarray, temperature: float, one: float, other: float
) -> None:
    fewer, more = (
        len(candidates(logits, temperature, len(logits), [top_p_truncation(top_p)]).ids)
        for top_p in sorted((one, other))
    )
    assert fewer <= more
