"""Error-compensated rounding: the integers that change a layer's outputs least, not its weights.

What counts is tr(D C D^T), D the change of the weights and C the covariance of the layer's inputs.
Three steps lower it, the first of which is GPTQ (Frantar et al. 2022, arXiv:2210.17323, with the
Cholesky form of its section 3.3): columns are rounded in turn, and what rounding one leaves over
is taken up by those after it. Then scales are fitted to the integers, and integers to each other
by coordinate descent (each the best while all others stay).

Everything runs on transposed weights [K, N], so that a column of the layer is a contiguous row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge_export.quantize.pack import QuantizedMatrix, block_scales, check_format, pack

Floats = npt.NDArray[np.float32]

_DAMPING = 0.01  # of the mean variance, added to every input's: the paper's, section 3.3
_OUTPUTS_AT_ONCE = 1024  # outputs are independent; so many keep the work in the cache
_LAZY = 128  # inputs whose compensation is applied at once to all later ones
# Scales tried, relative to the one that reaches the block's extreme value. Clipping one outlier
# can pay for finer steps everywhere else; in 8 bits it never does.
_SHRINKS = {4: np.linspace(0.7, 1.05, 15), 8: np.array([1.0])}
_SIGNS = {4: (1, -1), 8: (1,)}


class InputCovariance:
    """Covariance [K, K] of a layer's inputs, damped, with what GPTQ needs of its inverse."""

    def __init__(self, covariance: npt.NDArray[np.floating]) -> None:
        damped = np.array(covariance, np.float64)
        if not np.isfinite(damped).all():
            raise ExportError(
                "activations on the calibration text are not finite; the weights are too large for "
                "float32, or damaged"
            )
        mean = float(np.mean(np.diag(damped)))
        damped[np.diag_indices(len(damped))] += _DAMPING * mean or 1.0
        self.matrix: Floats = damped.astype(np.float32)
        # Upper U with U^T U = inverse; its row j tells how later inputs take up the error of j.
        self.upper: Floats = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)

    @property
    def size(self) -> int:
        return len(self.matrix)


def quantize_compensated(
    weight: npt.NDArray[np.floating],
    covariance: InputCovariance,
    bits: int,
    block_size: int | None,
    sweeps: int = 2,
) -> QuantizedMatrix:
    """Quantize `weight` [N, K] so that its products with inputs of `covariance` change least.

    Formats are those of quantize_round_to_nearest. sweeps: of fitting scales and integers after
    GPTQ. Raises ExportError for values that no float16 scale reaches.
    """
    check_format(bits, block_size)
    rows, columns = weight.shape
    if covariance.size != columns:
        raise ValueError(f"{columns} inputs have a covariance of {covariance.size}")
    block_size = block_size or columns
    if columns % block_size:
        raise ExportError(f"blocks of {block_size} do not divide {columns} inputs")
    codes = np.empty((rows, columns), np.int8)
    scales = np.empty((rows, columns // block_size), np.float16)
    for start in range(0, rows, _OUTPUTS_AT_ONCE):
        part = slice(start, start + _OUTPUTS_AT_ONCE)
        problem = _Rounding(weight[part], covariance, bits, block_size)
        problem.gptq()
        for _ in range(sweeps):
            problem.fit_scales()
            problem.fit_codes()
        codes[part] = problem.codes.T
        scales[part] = problem.scales.T
    unsigned = (codes.astype(np.int16) + 2 ** (bits - 1)).astype(np.uint8)
    packed = pack(unsigned.reshape(rows, -1, block_size), bits)
    return QuantizedMatrix(packed, scales, bits, block_size, columns)


class _Rounding:
    """Some outputs of one layer: weights [K, n], codes [K, n], scales [K / block_size, n]."""

    def __init__(
        self,
        weight: npt.NDArray[np.floating],
        covariance: InputCovariance,
        bits: int,
        block_size: int,
    ) -> None:
        self.weight: Floats = np.ascontiguousarray(weight.T, np.float32)
        self.covariance, self.upper = covariance.matrix, covariance.upper
        self.bits, self.block_size = bits, block_size
        self.low, self.high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        self.codes: Floats = np.zeros_like(self.weight)
        self.scales: Floats = np.zeros(
            (len(self.weight) // block_size, self.weight.shape[1]), np.float32
        )

    def gptq(self) -> None:
        """Round input by input; the rest takes up each one's error."""
        weight, upper, inputs = self.weight.copy(), self.upper, len(self.weight)
        for start in range(0, inputs, _LAZY):
            end = min(start + _LAZY, inputs)
            errors = np.empty((end - start, weight.shape[1]), np.float32)
            for j in range(start, end):
                block = j // self.block_size
                if j % self.block_size == 0:
                    rows = slice(j, j + self.block_size)
                    # 1 / u_jj^2: what an error of this input costs once later ones make up for it.
                    importance = np.diag(upper)[rows] ** np.float32(-2)
                    self.scales[block] = self._search_scales(weight[rows], importance)
                self.codes[j] = self._nearest(weight[j], self.scales[block])
                left = (weight[j] - self.codes[j] * self.scales[block]) / upper[j, j]
                errors[j - start] = left
                weight[j + 1 : end] -= upper[j, j + 1 : end, None] * left
            weight[end:] -= upper[start:end, end:].T @ errors

    def fit_scales(self) -> None:
        """Each block's scale in turn: the best for its codes while all else stays."""
        change = self._change()
        for block in range(len(self.scales)):
            rows = slice(block * self.block_size, (block + 1) * self.block_size)
            codes = self.codes[rows]
            gradient = np.einsum("kn,kn->n", codes, self.covariance[rows] @ change)
            curvature = np.einsum("kn,kn->n", codes, self.covariance[rows, rows] @ codes)
            step = np.divide(gradient, curvature, out=np.zeros_like(gradient), where=curvature > 0)
            fitted = _as_float16(self.scales[block] + step)
            fitted = np.where(fitted == 0, self.scales[block], fitted)
            change[rows] -= codes * (fitted - self.scales[block])
            self.scales[block] = fitted

    def fit_codes(self) -> None:
        """Each code in turn: the best while all others stay (one sweep of coordinate descent)."""
        change = self._change()
        variance = np.diag(self.covariance)
        for start in range(0, len(change), _LAZY):
            end = min(start + _LAZY, len(change))
            gradient = self.covariance[start:end] @ change
            for j in range(start, end):
                scale = self.scales[j // self.block_size]
                ideal = self.codes[j] * scale + gradient[j - start] / variance[j]
                codes = self._nearest(ideal, scale)
                step = (codes - self.codes[j]) * scale
                moved = np.flatnonzero(step)
                if not len(moved):
                    continue
                self.codes[j] = codes
                change[j] -= step
                gradient[j - start :, moved] -= self.covariance[j, j:end, None] * step[moved]

    def _change(self) -> Floats:
        """Weights minus what the codes stand for."""
        change: Floats = self.weight - self.codes * np.repeat(self.scales, self.block_size, axis=0)
        return change

    def _nearest(self, values: Floats, scale: Floats) -> Floats:
        ratio = np.divide(values, scale, out=np.zeros_like(values), where=scale != 0)
        codes: Floats = np.clip(np.rint(ratio), self.low, self.high)
        return codes

    def _search_scales(self, block: Floats, importance: Floats) -> Floats:
        """Scales [n] for a block [block_size, n] with the least weighted rounding error."""
        reach = block_scales(np.ascontiguousarray(block.T), self.bits).astype(np.float32)
        best, least = reach, np.full(len(reach), np.inf, np.float32)
        shrinks = _SHRINKS[self.bits]
        if len(shrinks) == 1:
            return reach
        for sign in _SIGNS[self.bits]:
            for shrink in shrinks:
                scale = _as_float16(sign * shrink * reach)
                rounded = self._nearest(block, scale) * scale
                error = importance @ (block - rounded) ** 2
                better = error < least
                best, least = np.where(better, scale, best), np.where(better, error, least)
        return best


def _as_float16(values: npt.NDArray[np.floating]) -> Floats:
    """Rounded to what the file stores."""
    largest = np.finfo(np.float16).max
    stored: Floats = np.clip(values, -largest, largest).astype(np.float16).astype(np.float32)
    return stored
