"""Error-compensated rounding: the integers that change a layer's outputs least, not its weights.

What counts is tr(D C D^T), D the change of the weights and C the covariance of the layer's inputs.
Two steps lower it, the first of which is GPTQ (Frantar et al. 2022, arXiv:2210.17323): inputs are
rounded in turn, and what rounding one leaves over is taken up by those after it. Then sweeps of
coordinate descent fit the scale of each block to its integers and the integers to each other, each
the best while all else stays.

GPTQ needs no inverse here. With C = U P U^T, U unit upper triangular and P diagonal, the error is
sum_j P_j (D_j + sum_{i<j} U_ij D_i)^2: input j is best rounded from its weight plus what the errors
before it call for. That is the paper's section 3.3 looked at from the other side; the products with
U are delayed and done for many inputs at once, as there.

Everything runs on transposed weights [K, N], so that a column of the layer is a contiguous row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge_export.calibrate.positive import upper_factor
from gpt2_edge_export.quantize.pack import QuantizedMatrix, block_scales, check_format, pack

Floats = npt.NDArray[np.float32]

_DAMPING = 0.01  # of the mean variance, added to every input's: the paper's, section 3.3
_OUTPUTS_AT_ONCE = 1024  # outputs are independent; so many keep the work in the cache
_LAZY = 32  # inputs whose errors are applied at once to all later ones of their block
# Scales tried, relative to the one that reaches the block's extreme value: all of the first, then
# steps from the best so far. Clipping one outlier can pay for finer steps everywhere else; in 8
# bits it never does.
_SHRINKS = (1.0, 0.9, 0.8, -1.0, -0.9, -0.8)
_STEPS = (0.05, -0.05, 0.025, -0.025)


class InputCovariance:
    """Covariance [K, K] of a layer's inputs, damped, and factored for GPTQ.

    matrix: float32 [K, K], the damped covariance C. upper: float32 [K, K], U of C = U P U^T, with
    ones on its diagonal; column j says what input j takes up of the errors before it. pivots:
    float32 [K], P: what an error of each input costs once the later ones make up for it.
    """

    def __init__(self, covariance: npt.NDArray[np.floating]) -> None:
        damped = np.array(covariance, np.float32)
        mean = float(np.mean(np.diag(damped)))
        if not np.isfinite(mean):  # an infinity or a NaN of an input is one of its variance
            raise ExportError(
                "activations on the calibration text are not finite; the weights are too large for "
                "float32, or damaged"
            )
        # With so much on the diagonal, float32 is enough for the factor.
        damped[np.diag_indices(len(damped))] += _DAMPING * mean or 1.0
        self.matrix: Floats = damped
        factor = upper_factor(damped)
        diagonal = np.diag(factor).copy()
        factor /= diagonal
        self.pivots: Floats = diagonal**2
        self.upper: Floats = factor

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

    Formats are those of quantize_round_to_nearest. sweeps: of coordinate descent after GPTQ.
    Raises ExportError for values that no float16 scale reaches.
    """
    check_format(bits, block_size)
    rows, columns = weight.shape
    if covariance.size != columns:
        raise ValueError(f"{columns} inputs have a covariance of {covariance.size}")
    block_size = block_size or columns
    if columns % block_size:
        raise ExportError(f"blocks of {block_size} do not divide {columns} inputs")
    codes = np.empty((rows, columns), np.uint8)
    scales = np.empty((rows, columns // block_size), np.float16)
    for start in range(0, rows, _OUTPUTS_AT_ONCE):
        part = slice(start, start + _OUTPUTS_AT_ONCE)
        problem = _Rounding(weight[part], covariance, bits, block_size)
        problem.gptq()
        for _ in range(sweeps):
            problem.sweep()
        codes[part] = (problem.codes + np.float32(2 ** (bits - 1))).T
        scales[part] = problem.scales.T
    packed = pack(codes.reshape(rows, -1, block_size), bits)
    return QuantizedMatrix(packed, scales, bits, block_size, columns)


class _Rounding:
    """Some outputs of one layer: weights [K, n], codes [K, n], scales [K / block_size, n].

    `change` [K, n] is weights minus what codes and scales stand for, of all that is rounded.
    """

    def __init__(
        self,
        weight: npt.NDArray[np.floating],
        covariance: InputCovariance,
        bits: int,
        block_size: int,
    ) -> None:
        self.weight: Floats = np.ascontiguousarray(weight.T, np.float32)
        self.covariance = covariance
        self.bits, self.block_size = bits, block_size
        self.low, self.high = np.float32(-(2 ** (bits - 1))), np.float32(2 ** (bits - 1) - 1)
        self.codes: Floats = np.zeros_like(self.weight)
        self.change: Floats = np.zeros_like(self.weight)
        blocks, outputs = len(self.weight) // block_size, self.weight.shape[1]
        self.scales: Floats = np.zeros((blocks, outputs), np.float32)

    def gptq(self) -> None:
        """Round input by input; the rest takes up each one's error."""
        upper = self.covariance.upper
        for block in range(len(self.scales)):
            rows = self._rows(block)
            target = self.weight[rows]
            if rows.start:
                before = slice(0, rows.start)
                called_for = upper[before, rows].T @ self.change[before]
                # Where the weights of the block would go if none of them were rounded.
                free = target + np.linalg.inv(upper[rows, rows]).T @ called_for
                target = target + called_for
            else:
                free, target = target, target.copy()
            self.scales[block] = self._search_scales(free, self.covariance.pivots[rows])
            self._round_block(block, target)

    def sweep(self) -> None:
        """Block by block, the best scale for its codes, then each code's best while all else stays.

        One sweep of coordinate descent; the error does not grow.
        """
        matrix = self.covariance.matrix
        for block in range(len(self.scales)):
            rows = self._rows(block)
            gradient = matrix[rows] @ self.change
            self._fit_scale(block, gradient)
            self._fit_codes(block, gradient)

    def _round_block(self, block: int, target: Floats) -> None:
        """GPTQ within one block; `target` [block_size, n] is used up."""
        rows, scale = self._rows(block), self.scales[block]
        upper = self.covariance.upper[rows, rows]
        weight, codes, change = self.weight[rows], self.codes[rows], self.change[rows]
        inverse = _inverse(scale)
        for start in range(0, self.block_size, _LAZY):
            end = min(start + _LAZY, self.block_size)
            for j in range(start, end):
                wanted = target[j]
                if j > start:
                    wanted += upper[start:j, j] @ change[start:j]
                wanted *= inverse
                self._nearest(wanted, codes[j])
                np.multiply(codes[j], scale, out=change[j])
                np.subtract(weight[j], change[j], out=change[j])
            if end < self.block_size:
                target[end:] += upper[start:end, end:].T @ change[start:end]

    def _fit_scale(self, block: int, gradient: Floats) -> None:
        """The best scale for the codes of a block, whose `gradient` [block_size, n] follows."""
        rows = self._rows(block)
        codes, scale = self.codes[rows], self.scales[block]
        product = self.covariance.matrix[rows, rows] @ codes
        slope = np.einsum("kn,kn->n", codes, gradient)
        curvature = np.einsum("kn,kn->n", codes, product)
        step = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > 0)
        fitted = _as_float16(scale + step)
        fitted = np.where(fitted == 0, scale, fitted)
        step = fitted - scale
        self.change[rows] -= codes * step
        product *= step
        gradient -= product
        self.scales[block] = fitted

    def _fit_codes(self, block: int, gradient: Floats) -> None:
        """Each code of a block in turn; `gradient` [block_size, n] is used up."""
        rows, scale = self._rows(block), self.scales[block]
        matrix = self.covariance.matrix[rows, rows]
        codes, change = self.codes[rows], self.change[rows]
        per_variance = np.float32(1) / np.diag(matrix)
        inverse = _inverse(scale)
        steps = np.empty((min(_LAZY, self.block_size), len(scale)), np.float32)
        for start in range(0, self.block_size, _LAZY):
            end = min(start + _LAZY, self.block_size)
            for j in range(start, end):
                ideal, step = gradient[j], steps[j - start]
                if j > start:
                    ideal -= matrix[start:j, j] @ steps[: j - start]
                ideal *= per_variance[j]
                ideal *= inverse
                ideal += codes[j]
                np.copyto(step, codes[j])
                self._nearest(ideal, codes[j])
                np.subtract(codes[j], step, out=step)
                step *= scale
                change[j] -= step
            if end < self.block_size:
                gradient[end:] -= matrix[start:end, end:].T @ steps[: end - start]

    def _rows(self, block: int) -> slice:
        return slice(block * self.block_size, (block + 1) * self.block_size)

    def _nearest(self, values: Floats, out: Floats) -> None:
        """The nearest codes of `values`, which are in steps."""
        np.rint(values, out=out)
        np.maximum(out, self.low, out=out)
        np.minimum(out, self.high, out=out)

    def _search_scales(self, block: Floats, importance: Floats) -> Floats:
        """Scales [n] for a block [block_size, n] with the least weighted rounding error."""
        reach = block_scales(np.ascontiguousarray(block.T), self.bits).astype(np.float32)
        if self.bits == 8:
            return reach
        best, least = np.ones_like(reach), np.full(len(reach), np.inf, np.float32)
        rounded = np.empty_like(block)

        def attempt(shrink: Floats | np.float32) -> None:
            nonlocal best, least
            scale = _as_float16(shrink * reach)
            np.multiply(block, _inverse(scale), out=rounded)
            self._nearest(rounded, rounded)
            np.multiply(rounded, scale, out=rounded)
            np.subtract(block, rounded, out=rounded)
            np.multiply(rounded, rounded, out=rounded)
            error = importance @ rounded
            better = error < least
            best, least = np.where(better, shrink, best), np.where(better, error, least)

        for shrink in _SHRINKS:
            attempt(np.float32(shrink))
        for step in _STEPS:
            attempt(best + np.float32(step))
        return _as_float16(best * reach)


def _inverse(scale: Floats) -> Floats:
    """1 / scale; zero where the scale is."""
    inverse: Floats = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    return inverse


def _as_float16(values: npt.NDArray[np.floating]) -> Floats:
    """Rounded to what the file stores."""
    largest = np.finfo(np.float16).max
    stored: Floats = np.clip(values, -largest, largest).astype(np.float16).astype(np.float32)
    return stored
