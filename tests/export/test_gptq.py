"""Error-compensated rounding: what it lowers, what it stores, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpt2_edge.errors import ExportError
from gpt2_edge_export.calibrate.gptq import InputCovariance, _Rounding, quantize_compensated
from gpt2_edge_export.calibrate.positive import solve_positive, upper_factor
from gpt2_edge_export.quantize import QuantizedMatrix, dequantize, quantize_round_to_nearest
from gpt2_edge_export.quantize.pack import pack, unpack
from helpers import assert_one_line

BITS = st.sampled_from([4, 8])
FORMATS = [(4, 16), (4, 32), (4, 64), (8, 16), (8, 32), (8, 64), (8, None)]


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Float32 [1 to 5, 32 or 64] of any size that a weight has, zeros among them."""
    shape = draw(st.tuples(st.integers(1, 5), st.sampled_from([32, 64])))
    size = draw(st.sampled_from([1e-2, 1.0, 1e3]))
    values = hnp.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32))
    return draw(values) * np.float32(size)


def normal(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def correlated(columns: int, seed: int = 0) -> np.ndarray:
    """Covariance [K, K] of inputs that a few directions explain, as those of a real layer are."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((columns, columns // 4))
    own = np.diag(random.uniform(0.02, 0.1, columns))
    return (directions @ directions.T / len(directions[0]) + own).astype(np.float32)


def output_error(weight: np.ndarray, matrix: QuantizedMatrix, covariance: np.ndarray) -> float:
    """tr(D C D^T) in float64."""
    change = weight.astype(np.float64) - dequantize(matrix)
    return float(np.einsum("nk,kj,nj->", change, covariance.astype(np.float64), change))


def error_of(problem: _Rounding, covariance: np.ndarray) -> float:
    stored = problem.codes * np.repeat(problem.scales, problem.block_size, axis=0)
    change = problem.weight.astype(np.float64) - stored
    return float(np.einsum("kn,kj,jn->", change, covariance.astype(np.float64), change))


@given(matrices(), BITS, st.sampled_from([16, 32]))
@settings(max_examples=60, deadline=None)
def test_of_independent_inputs_it_is_no_worse_than_rounding_to_nearest(
    weight: np.ndarray, bits: int, block_size: int
) -> None:
    identity = np.eye(weight.shape[1])
    compensated = quantize_compensated(weight, InputCovariance(identity), bits, block_size, 0)
    plain = quantize_round_to_nearest(weight, bits, block_size)
    # Nothing can be taken up by other inputs, so both round each value by itself.
    limit = output_error(weight, plain, identity)
    assert output_error(weight, compensated, identity) <= limit * (1 + 1e-4) + 1e-12


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [0.02, 1.0, 300.0])
def test_of_correlated_inputs_its_outputs_are_off_by_half_at_most(seed: int, size: float) -> None:
    weight, covariance = size * normal(40, 96, seed), correlated(96, seed)
    compensated = quantize_compensated(weight, InputCovariance(covariance), 4, 32)
    plain = quantize_round_to_nearest(weight, 4, 32)
    assert compensated.nbytes == plain.nbytes
    error = output_error(weight, compensated, covariance)
    assert 0 < error <= 0.5 * output_error(weight, plain, covariance)


@pytest.mark.parametrize("seed", range(3))
def test_gptq_alone_gains_what_compensation_gains(seed: int) -> None:
    """Against the same search for scales without compensation: of independent inputs."""
    weight, covariance = normal(40, 96, seed), correlated(96, seed)
    inputs = InputCovariance(covariance)
    alone = quantize_compensated(weight, InputCovariance(np.eye(96)), 4, 32, 0)
    compensated = quantize_compensated(weight, inputs, 4, 32, 0)
    swept = quantize_compensated(weight, inputs, 4, 32, 2)
    errors = [output_error(weight, matrix, covariance) for matrix in (alone, compensated, swept)]
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.95 * errors[1]


@pytest.mark.parametrize("columns", [96, 160, 384])
@pytest.mark.parametrize("block_size", [32, 96])
def test_inputs_are_compensated_like_the_papers_plain_loop(columns: int, block_size: int) -> None:
    """One input after the other, by the inverse's Cholesky factor, without blocked updates."""
    if columns % block_size:
        block_size = 160  # as one scale a row has: many lazy groups to a block
    weight, inputs = normal(3, columns), InputCovariance(correlated(columns))
    lazy = _Rounding(weight, inputs, 4, block_size)
    lazy.gptq()
    left = weight.astype(np.float64).T.copy()
    upper = np.linalg.cholesky(np.linalg.inv(inputs.matrix.astype(np.float64))).T
    scales = np.repeat(lazy.scales.astype(np.float64), block_size, axis=0)
    codes = np.empty_like(left)
    for j in range(columns):
        codes[j] = np.clip(np.rint(left[j] / scales[j]), -8, 7)
        error = (left[j] - codes[j] * scales[j]) / upper[j, j]
        left[j:] -= np.outer(upper[j, j:], error)
    # A ratio near a half is rounded the other way in float32 now and then.
    assert (codes == lazy.codes).mean() > 0.95
    first = slice(0, block_size)
    assert (codes[first] == lazy.codes[first]).mean() > 0.98


@given(matrices(), BITS, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_no_sweep_increases_the_error(weight: np.ndarray, bits: int, seed: int) -> None:
    inputs = InputCovariance(correlated(weight.shape[1], seed))
    problem = _Rounding(weight, inputs, bits, 16)
    problem.gptq()
    error = error_of(problem, inputs.matrix)
    scale = np.abs(weight).max() or 1
    # A scale is rounded to float16 after it was fitted: in a valley so narrow that the old one was
    # as good, that costs what rounding a scale costs; float32 sums cost less.
    slack = 1e-5 * error + 1e-7 * scale**2
    for _ in range(3):
        problem.sweep()
        after = error_of(problem, inputs.matrix)
        assert after <= error + slack
        error = after


@pytest.mark.parametrize(("bits", "block_size"), FORMATS)
@pytest.mark.parametrize("sweeps", [0, 2])
def test_what_is_stored_is_what_was_chosen(
    bits: int, block_size: int | None, sweeps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, inputs = normal(5, 128), InputCovariance(correlated(128))
    problems: list[_Rounding] = []
    remember = _Rounding.__init__

    def spy(self: _Rounding, *arguments: object) -> None:
        remember(self, *arguments)  # type: ignore[arg-type]
        problems.append(self)

    monkeypatch.setattr(_Rounding, "__init__", spy)
    matrix = quantize_compensated(weight, inputs, bits, block_size, sweeps)
    (problem,) = problems
    size = block_size or 128
    assert (matrix.bits, matrix.block_size, matrix.columns) == (bits, size, 128)
    assert matrix.packed.dtype == np.uint8
    assert matrix.packed.shape == (5, 128 // size, size * bits // 8)
    assert matrix.scales.dtype == np.float16
    assert matrix.scales.shape == (5, 128 // size)
    assert np.isfinite(matrix.scales).all()
    # Codes are integers that the format has; scales were float16 already when codes were chosen.
    assert (problem.codes == np.rint(problem.codes)).all()
    assert problem.codes.min() >= -(2 ** (bits - 1))
    assert problem.codes.max() <= 2 ** (bits - 1) - 1
    np.testing.assert_array_equal(matrix.scales.T.astype(np.float32), problem.scales)
    stored = problem.codes * np.repeat(problem.scales, size, axis=0)
    np.testing.assert_array_equal(dequantize(matrix), stored.T)
    integers = unpack(matrix.packed, bits)
    np.testing.assert_array_equal(pack(integers, bits), matrix.packed)


@pytest.mark.parametrize(("bits", "block_size"), FORMATS)
def test_weights_are_close_to_what_is_stored(bits: int, block_size: int | None) -> None:
    weight, covariance = normal(20, 128), correlated(128)
    matrix = quantize_compensated(weight, InputCovariance(covariance), bits, block_size)
    of_outputs = np.einsum("nk,kj,nj->", weight, covariance, weight)
    relative = output_error(weight, matrix, covariance) / of_outputs
    # Steps are 2^(1 - bits) of the largest value, about 3 standard deviations, uniform errors.
    assert 0 < relative < (3 * 2.0 ** (1 - bits)) ** 2 / 12


def test_one_scale_a_row_reaches_its_extreme_value() -> None:
    weight = np.stack([np.linspace(-1, 2, 48), np.linspace(-3, 1, 48)]).astype(np.float32)
    matrix = quantize_compensated(weight, InputCovariance(np.eye(48)), 8, None)
    np.testing.assert_allclose(matrix.scales[:, 0], [-2 / 128, 3 / 128], rtol=2e-3)
    np.testing.assert_allclose(dequantize(matrix), weight, atol=3 / 128)


@pytest.mark.parametrize(("bits", "block_size"), FORMATS)
def test_silent_inputs_keep_their_weights(bits: int, block_size: int | None) -> None:
    """Inputs that the calibration never saw moving still get weights near their own."""
    weight, covariance = normal(6, 128), correlated(128)
    silent = np.arange(0, 128, 3)
    covariance[silent] = 0
    covariance[:, silent] = 0
    matrix = quantize_compensated(weight, InputCovariance(covariance), bits, block_size)
    kept = dequantize(matrix)
    step = np.repeat(np.abs(matrix.scales.astype(np.float32)), matrix.block_size, axis=1)
    # Half a step, or a whole one where a value lies beyond the range; a few more in 4 bits, whose
    # scales may clip outliers.
    off = np.abs(kept - weight)[:, silent] / step[:, silent]
    assert np.quantile(off, 0.9) <= 0.51
    assert off.max() <= (4 if bits == 4 else 1.01)


def test_no_input_moves_at_all() -> None:
    weight = normal(4, 64)
    inputs = InputCovariance(np.zeros((64, 64)))
    assert np.isfinite(inputs.upper).all()
    assert (inputs.pivots > 0).all()
    for bits in (4, 8):
        matrix = quantize_compensated(weight, inputs, bits, 32)
        plain = quantize_round_to_nearest(weight, bits, 32)
        identity = np.eye(64)
        error, limit = (output_error(weight, each, identity) for each in (matrix, plain))
        assert error <= limit * (1 + 1e-4)


@pytest.mark.parametrize(("bits", "block_size"), FORMATS)
def test_rows_of_zeros_stay_zero(bits: int, block_size: int | None) -> None:
    weight = normal(3, 128)
    weight[1] = 0
    matrix = quantize_compensated(weight, InputCovariance(correlated(128)), bits, block_size)
    kept = dequantize(matrix)
    assert (kept[1] == 0).all()
    assert np.isfinite(matrix.scales).all()
    assert np.abs(kept[[0, 2]]).min(1).max() < np.abs(kept[[0, 2]]).max()  # the others are not


@pytest.mark.parametrize("value", [0.25, -3.0, 1e-12])
@pytest.mark.parametrize(("bits", "block_size"), FORMATS)
def test_constant_rows(bits: int, block_size: int | None, value: float) -> None:
    weight = np.full((2, 128), value, np.float32)
    matrix = quantize_compensated(weight, InputCovariance(correlated(128)), bits, block_size)
    if abs(value) < 1e-8:  # below what a float16 scale says
        assert np.abs(dequantize(matrix)).max() <= 8 * 6e-8
    else:
        np.testing.assert_allclose(dequantize(matrix), value, rtol=2 / 2**bits)


@pytest.mark.parametrize("outputs_at_once", [1, 7, 20])
def test_rounding_outputs_in_parts_is_rounding_each(
    monkeypatch: pytest.MonkeyPatch, outputs_at_once: int
) -> None:
    from gpt2_edge_export.calibrate import gptq

    weight, covariance = normal(20, 64), correlated(64)
    whole = quantize_compensated(weight, InputCovariance(covariance), 4, 32)
    monkeypatch.setattr(gptq, "_OUTPUTS_AT_ONCE", outputs_at_once)
    parts = quantize_compensated(weight, InputCovariance(covariance), 4, 32)
    assert parts.packed.shape == whole.packed.shape
    # Sums of another shape differ in the last bit, which may tip a code.
    assert (parts.packed == whole.packed).mean() > 0.9
    errors = [output_error(weight, each, covariance) for each in (parts, whole)]
    assert errors[0] == pytest.approx(errors[1], rel=0.02)


@pytest.mark.parametrize(("columns", "block_size"), [(48, 32), (100, 16), (96, 64)])
def test_a_block_that_does_not_divide_is_refused(columns: int, block_size: int) -> None:
    inputs = InputCovariance(np.eye(columns))
    with pytest.raises(ExportError) as caught:
        quantize_compensated(normal(2, columns), inputs, 4, block_size)
    assert_one_line(caught.value, block_size, columns)


@pytest.mark.parametrize(("bits", "block_size"), [(3, 32), (16, 32), (4, 8), (4, 48), (4, None)])
def test_formats_that_the_operators_lack_are_refused(bits: int, block_size: int | None) -> None:
    with pytest.raises(ValueError, match=r"must be|8 bits"):
        quantize_compensated(normal(2, 96), InputCovariance(np.eye(96)), bits, block_size)


def test_a_covariance_of_another_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"64.*32"):
        quantize_compensated(normal(2, 64), InputCovariance(np.eye(32)), 4, 32)


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_too_large_for_a_float16_scale_are_refused(bits: int) -> None:
    weight = normal(2, 64)
    weight[1, 40] = 1e7
    with pytest.raises(ExportError) as caught:
        quantize_compensated(weight, InputCovariance(np.eye(64)), bits, 32)
    assert_one_line(caught.value, "1e+07", "float16")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.filterwarnings("error")
def test_weights_nearly_too_large_are_finite_or_refused(bits: int, seed: int) -> None:
    """Scales that are tried, and errors that others take up, must not leave float16."""
    random = np.random.default_rng(seed)
    reach = 0.99 * float(np.finfo(np.float16).max) * 2 ** (bits - 1)
    weight = (reach * random.uniform(-1, 1, (4, 64))).astype(np.float32)
    covariance = correlated(64) if seed % 2 else np.eye(64)
    try:
        matrix = quantize_compensated(weight, InputCovariance(covariance), bits, 32)
    except ExportError as error:
        assert_one_line(error, "float16")
    else:
        assert np.isfinite(dequantize(matrix)).all()


@pytest.mark.parametrize("columns", [48, 300])
def test_the_covariance_is_damped_and_factored(columns: int) -> None:
    covariance = correlated(columns)
    inputs = InputCovariance(covariance)
    damped = covariance + 0.01 * np.diag(covariance).mean() * np.eye(columns)
    np.testing.assert_allclose(inputs.matrix, damped, rtol=1e-6)
    assert (np.tril(inputs.upper, -1) == 0).all()
    np.testing.assert_allclose(np.diag(inputs.upper), 1)
    product = (inputs.upper.astype(np.float64) * inputs.pivots) @ inputs.upper.T
    np.testing.assert_allclose(product, damped, atol=1e-5)
    assert inputs.size == columns


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 128, 300])
def test_positive_matrices_are_factored_and_solved(columns: int, dtype: type) -> None:
    matrix = (correlated(columns + 3)[3:, 3:] + np.eye(columns)).astype(dtype)
    factor = upper_factor(matrix)
    assert factor.dtype == dtype
    assert (np.tril(factor, -1) == 0).all()
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-5)
    wanted = normal(columns, 5).astype(dtype)
    solution = solve_positive(matrix, wanted)
    assert solution.dtype == dtype
    np.testing.assert_allclose(matrix @ solution, wanted, atol=1e-4)


def test_a_matrix_that_is_not_positive_is_refused() -> None:
    matrix = np.eye(200)
    matrix[10, 10] = -1
    for call in (upper_factor, lambda m: solve_positive(m, m)):
        with pytest.raises(np.linalg.LinAlgError):
            call(matrix)
