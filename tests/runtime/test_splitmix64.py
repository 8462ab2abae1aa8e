"""SplitMix64 against published outputs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_edge.sampling import SplitMix64


@pytest.mark.parametrize(
    ("seed", "outputs"),
    [
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]),
    ],
)
def test_published_outputs(seed: int, outputs: list[int]) -> None:
    random = SplitMix64(seed)
    assert [random.next() for _ in outputs] == outputs


def test_uniform_is_the_top_53_bits() -> None:
    assert SplitMix64(0).uniform() == (0xE220A8397B1DCDAF >> 11) / 2**53


def test_a_seed_counts_modulo_2_to_the_64() -> None:
    assert SplitMix64(-1).next() == SplitMix64(2**64 - 1).next()
    assert SplitMix64(-1).next() != SplitMix64(1).next()


@settings(max_examples=50, deadline=None)
@given(st.integers())
def test_uniform_lies_between_0_and_1(seed: int) -> None:
    random = SplitMix64(seed)
    assert all(0 <= random.uniform() < 1 for _ in range(20))
