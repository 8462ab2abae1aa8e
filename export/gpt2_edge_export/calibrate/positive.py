"""Positive definite matrices: factoring and solving, in blocks, so that products do the work.

LAPACK's own factorization runs at a tenth of the speed of a product in the OpenBLAS that comes with
NumPy.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Float = TypeVar("Float", np.float32, np.float64)

_BLOCK = 128


def upper_factor(matrix: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """Upper triangular R [K, K] with R R^T = `matrix`, which is symmetric and positive definite.

    Raises numpy.linalg.LinAlgError where it is not.
    """
    factor = np.zeros_like(matrix)
    for end in range(len(matrix), 0, -_BLOCK):
        start = max(end - _BLOCK, 0)
        own = slice(start, end)
        panel = matrix[:end, own] - factor[:end, end:] @ factor[own, end:].T
        # The Cholesky factor of the reversed matrix is lower triangular, this one upper.
        corner = np.linalg.cholesky(panel[start:][::-1, ::-1])[::-1, ::-1]
        factor[own, own] = corner
        factor[:start, own] = panel[:start] @ np.linalg.inv(corner).T
    return factor


def solve_positive(matrix: npt.NDArray[Float], wanted: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """X [K, N] with `matrix` X = `wanted`; `matrix` [K, K] is symmetric and positive definite.

    Raises numpy.linalg.LinAlgError where it is not.
    """
    factor = upper_factor(matrix)
    solution: npt.NDArray[Float] = wanted.copy()
    parts = [slice(start, start + _BLOCK) for start in range(0, len(matrix), _BLOCK)]
    inverses = [np.linalg.inv(factor[part, part]) for part in parts]
    for part, inverse in zip(reversed(parts), reversed(inverses), strict=True):
        solution[part] -= factor[part, part.stop :] @ solution[part.stop :]
        solution[part] = inverse @ solution[part]
    for part, inverse in zip(parts, inverses, strict=True):
        solution[part] -= factor[: part.start, part].T @ solution[: part.start]
        solution[part] = inverse.T @ solution[part]
    return solution
