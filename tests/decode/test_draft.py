"""What is drafted from earlier text, and how drafting gives way where nothing repeats."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_edge.decode.draft import Pace, prompt_lookup


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ([1, 2, 3, 4, 5, 1, 2, 3], 2, [4, 5]),
        ([1, 2, 3, 4, 5, 1, 2, 3], 9, [4, 5, 1, 2, 3, 4, 5, 1, 2]),  # it goes round
        ([7, 7, 7], 4, [7, 7, 7, 7]),
        ([1, 2, 9, 1, 2, 8, 1, 2], 3, [8, 1, 2]),  # the latest place
        ([1, 2, 3, 9, 5, 2, 3, 8, 1, 2, 3], 2, [9, 5]),  # the longest agreement
        ([1, 2, 3], 4, []),
        ([1, 2, 1], 4, []),  # one token is no agreement
        ([1], 4, []),
        ([5, 5, 5, 5], 0, []),
        ([256, 1, 65536, 0, 1, 256, 0, 1], 2, [256, 0]),  # the same bytes across two tokens
        ([0, 0, 256, 1, 0, 0], 3, [256, 1, 0]),
    ],
)
def test_what_followed_before_is_guessed(text: list[int], most: int, expected: list[int]) -> None:
    assert prompt_lookup()(text, most) == expected


def test_drafts_grow_while_they_come_true() -> None:
    pace = Pace(16)
    sizes = []
    for _ in range(4):
        sizes.append(pace.next())
        pace.learn(sizes[-1], sizes[-1])
    assert sizes == [4, 8, 16, 16]


def test_failures_are_paused_after_and_one_success_ends_the_pauses() -> None:
    pace = Pace(8)
    tries = []
    for step in range(300):
        if size := pace.next():
            tries.append(step)
            pace.learn(size, 0)
    pauses = [after - before - 1 for before, after in pairwise(tries)]
    assert pauses[:4] == [4, 12, 28, 60]
    assert set(pauses[4:]) == {64}
    while not pace.next():
        pass
    pace.learn(2, 2)
    assert pace.next()


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_draft_is_never_longer_than_asked_for(most: int) -> None:
    pace = Pace(most)
    for accepted in (0, 1, 1, 0, 1, 1, 1):
        while not (size := pace.next()):
            pass
        assert 1 <= size <= most
        pace.learn(size, min(accepted * size, size))


@given(st.lists(st.sampled_from([0, 1, 2, 255, 256, 65536, 2**40]), max_size=60), st.integers(0, 9))
def test_places_are_those_of_a_plain_search(text: list[int], most: int) -> None:
    expected: list[int] = []
    for size in (3, 2):
        places = [i for i in range(size, len(text)) if text[i - size : i] == text[-size:]]
        if len(text) > size and places:
            again = text[places[-1] :]
            expected = [again[i % len(again)] for i in range(most)]
            break
    assert prompt_lookup()(text, most) == expected
