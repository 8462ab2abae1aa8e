"""Passes over activations in parts: what one pass over all of them gives."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2_edge_export.calibrate import rows


def activations(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, shape).astype(np.float32)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_VALUES_AT_ONCE", 100)
    monkeypatch.setattr(rows, "_COLUMNS_AT_ONCE", 7)


def test_parts_are_all_rows_in_their_order() -> None:
    parts = rows.in_parts(lambda part: list(range(part.start, part.stop)), 37, 30)
    assert [row for part in parts for row in part] == list(range(37))
    assert len(parts) == 13


def test_passes_are_those_of_the_whole() -> None:
    x, weight, bias = activations(3, 11, 20), activations(20, 9), activations(9)
    flat = x.reshape(-1, 20).astype(np.float64)
    np.testing.assert_allclose(rows.affine(x, weight, bias), x @ weight + bias, rtol=1e-4)
    np.testing.assert_allclose(rows.mean(x), flat.mean(0), rtol=1e-5)
    middle = activations(20)
    np.testing.assert_allclose(rows.reach(x, middle), np.abs(flat - middle).max(0), rtol=1e-5)
    norm = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    gain, offset = activations(20), activations(20)
    np.testing.assert_allclose(
        rows.layer_norm(x, gain, offset, 1e-5), norm * gain + offset, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(rows.covariance(x), flat.T @ flat / len(flat), rtol=1e-5)
    centred = x.copy()
    np.testing.assert_allclose(rows.centre(centred), flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(centred.reshape(-1, 20), flat - flat.mean(0), atol=1e-5)


def test_threads_heed_what_the_caller_says_of_floating_point_errors() -> None:
    ones = np.ones(40, np.float32)

    def divide(part: slice) -> float:
        return float((ones[part] / np.float32(0)).sum())

    with np.errstate(all="ignore"):
        assert rows.in_parts(divide, 40, 50) == [np.inf] * 20
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        rows.in_parts(divide, 40, 50)
