"""What NumPy does not spread over the processor's cores by itself: passes over rows of activations.

Activations are float32 [..., width]. They are cut into the same parts on every run and machine, and
sums of parts are added in their order, so that threads change no bit of a result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Result = TypeVar("Result")

_VALUES_AT_ONCE = 1 << 18  # 1 MB: what a core's own cache holds
_COLUMNS_AT_ONCE = 512


def as_matrix(x: Floats) -> Floats:
    """[rows, width]: a view of `x`."""
    return x.reshape(-1, x.shape[-1])


def in_parts(work: Callable[[slice], Result], rows: int, width: int) -> list[Result]:
    """What `work` returns for each part of `rows` rows of `width` values, in their order."""
    step = max(1, _VALUES_AT_ONCE // max(width, 1))
    parts = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    if len(parts) == 1:
        return [work(parts[0])]
    errors = np.geterr()  # which other threads would not know

    def under_errors(part: slice) -> Result:
        with np.errstate(**errors):
            return work(part)

    return list(_threads().map(under_errors, parts))


def affine(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """The linear layer x W + b."""
    product = as_matrix(x) @ weight

    def add(part: slice) -> None:
        product[part] += bias

    in_parts(add, *product.shape)
    return product.reshape(*x.shape[:-1], -1)


def covariance(x: Floats) -> Floats:
    """X^T X / rows, float32 [width, width]: the covariance of rows whose mean is zero."""
    rows = as_matrix(x)
    width = rows.shape[1]
    product = np.empty((width, width), np.float32)
    # OpenBLAS's product for symmetric results is no faster than that of all their values.
    for start in range(0, width, _COLUMNS_AT_ONCE):
        own, after = slice(start, start + _COLUMNS_AT_ONCE), slice(start, width)
        product[own, after] = rows[:, own].T @ rows[:, after]
        product[after, own] = product[own, after].T
    product /= np.float32(len(rows))
    return product


def layer_norm(x: Floats, weight: Floats, bias: Floats, epsilon: float) -> Floats:
    """LayerNorm over the last axis."""
    rows = as_matrix(x)
    normed = np.empty_like(rows)

    def norm(part: slice) -> None:
        own = normed[part]
        np.subtract(rows[part], rows[part].mean(-1, keepdims=True), out=own)
        variance = np.einsum("tk,tk->t", own, own) / np.float32(own.shape[1])
        own /= np.sqrt(variance + np.float32(epsilon))[:, None]
        own *= weight
        own += bias

    in_parts(norm, *rows.shape)
    return normed.reshape(x.shape)


def mean(x: Floats) -> Floats:
    """Mean of the rows, float32 [width]."""
    rows = as_matrix(x)
    total = np.sum(in_parts(lambda part: rows[part].sum(0), *rows.shape), 0)
    result: Floats = total / np.float32(len(rows))
    return result


def centre(x: Floats) -> Floats:
    """Take the mean of the rows off each, in place; that mean, float32 [width]."""
    rows, middle = as_matrix(x), mean(x)

    def subtract(part: slice) -> None:
        rows[part] -= middle

    in_parts(subtract, *rows.shape)
    return middle


def reach(x: Floats, middle: Floats | float = 0.0) -> Floats:
    """The largest distance of each column's values from `middle`, float32 [width]."""
    rows = as_matrix(x)
    ends = in_parts(lambda part: (rows[part].max(0), rows[part].min(0)), *rows.shape)
    highest, lowest = (np.stack(side) for side in zip(*ends, strict=True))
    result: Floats = np.maximum(highest.max(0) - middle, middle - lowest.min(0))
    return result


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="rows")
