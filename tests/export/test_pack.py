"""Packed integers: laws of the format, and the operators' own reading of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge.errors import GPT2EdgeError
from gpt2_edge_export.quantize import dequantize, pack, quantize_round_to_nearest

BITS = st.sampled_from([4, 8])
BLOCKS = st.sampled_from([16, 32, 64, 128, 256])
FLOAT16_ROUNDING = 2.0**-11  # relative, of a scale that is a normal float16


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Float32 [1 to 4, 1 to 70] of any size that a weight has, zeros among them."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 70)))
    size = draw(st.sampled_from([1e-2, 1.0, 1e3]))
    values = hnp.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32))
    return draw(values) * np.float32(size)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 3), st.just(16))), BITS)
@settings(max_examples=50, deadline=None)
def test_unpack_undoes_pack(values: np.ndarray, bits: int) -> None:
    values = values & np.uint8(2**bits - 1)
    packed = pack.pack(values, bits)
    assert packed.shape == (*values.shape[:2], 16 * bits // 8)
    np.testing.assert_array_equal(pack.unpack(packed, bits), values)


@given(matrices(), BITS, BLOCKS)
@settings(max_examples=200, deadline=None)
def test_every_value_goes_to_the_nearest_integer(
    weight: np.ndarray, bits: int, block_size: int
) -> None:
    matrix = quantize_round_to_nearest(weight, bits, block_size)
    wide = weight.astype(np.float64)
    scale = np.repeat(matrix.scales.astype(np.float64), block_size, axis=1)[:, : wide.shape[1]]
    ends = np.stack([-(2 ** (bits - 1)) * scale, (2 ** (bits - 1) - 1) * scale])
    beyond = np.abs(wide - wide.clip(ends.min(0), ends.max(0)))
    error = np.abs(wide - dequantize(matrix))
    assert (error <= np.abs(scale) / 2 * (1 + 1e-5) + beyond).all()
    # Only a value of the other sign than the largest can lie beyond, by one step, or by what the
    # scale lost in float16 (6e-8 where it is subnormal).
    lost = 2 ** (bits - 1) * np.maximum(np.abs(scale) * FLOAT16_ROUNDING, 6e-8)
    assert (beyond <= np.abs(scale) + lost).all()


@given(matrices(), BITS, BLOCKS)
@settings(max_examples=100, deadline=None)
def test_largest_of_each_block_is_kept(weight: np.ndarray, bits: int, block_size: int) -> None:
    weight = weight + np.float32(0.5)  # clear of the subnormal scales
    kept = dequantize(quantize_round_to_nearest(weight, bits, block_size))
    largest = largest_of_block(weight.astype(np.float64), block_size)
    at = np.abs(weight) == largest
    both_signs = at & (largest_of_block(np.maximum(weight, 0), block_size) == largest)
    both_signs &= largest_of_block(np.maximum(-weight, 0), block_size) == largest
    at &= ~both_signs
    np.testing.assert_allclose(kept[at], weight[at], rtol=FLOAT16_ROUNDING * 1.01)


def largest_of_block(weight: np.ndarray, block_size: int) -> np.ndarray:
    """Largest magnitude of each value's block, in the shape of `weight`."""
    padded = np.pad(np.abs(weight), ((0, 0), (0, -weight.shape[1] % block_size)))
    blocks = padded.reshape(len(weight), -1, block_size)
    return np.repeat(blocks.max(-1), block_size, axis=1)[:, : weight.shape[1]]


def test_layout_by_hand() -> None:
    weight = np.array([[-8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, -6, -7]], np.float32)
    matrix = quantize_round_to_nearest(weight, 4, 16)
    assert matrix.scales.tolist() == [[1.0]]
    # value + 8, the even one in the low half
    assert matrix.packed.tobytes().hex() == "f0debc9a78563412"
    wide = quantize_round_to_nearest(weight * 16, 8, 16)
    assert wide.scales.tolist() == [[1.0]]
    assert wide.packed.ravel().tolist() == [int(value) * 16 + 128 for value in weight[0]]


def test_sign_of_the_scale_gives_the_largest_value_the_longer_side() -> None:
    weight = np.linspace(-0.9, 1, 16, dtype=np.float32)[None]
    matrix = quantize_round_to_nearest(weight, 4, 16)
    assert matrix.scales[0, 0] == -0.125
    assert dequantize(matrix)[0, -1] == 1


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_of_zeros_stay_zero(bits: int) -> None:
    weight = np.ones((2, 64), np.float32)
    weight[0, :32] = 0
    matrix = quantize_round_to_nearest(weight, bits, 32)
    kept = dequantize(matrix)
    assert (kept[0, :32] == 0).all()
    np.testing.assert_allclose(kept[0, 32:], 1)
    assert np.isfinite(matrix.scales).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_values_below_float16_become_zero(bits: int) -> None:
    weight = np.full((1, 16), 1e-12, np.float32)
    assert (dequantize(quantize_round_to_nearest(weight, bits, 16)) == 0).all()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.filterwarnings("ignore")
def test_values_too_large_for_a_float16_scale_are_not_made_nan(bits: int) -> None:
    weight = np.full((1, 16), 1e7, np.float32)
    try:
        matrix = quantize_round_to_nearest(weight, bits, 16)
    except (ValueError, GPT2EdgeError):
        return  # refusing them is as good
    assert np.isfinite(dequantize(matrix)).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_columns_that_fill_no_block_are_padded_with_zeros(bits: int) -> None:
    weight = np.random.default_rng(0).standard_normal((3, 100)).astype(np.float32)
    matrix = quantize_round_to_nearest(weight, bits, 16)
    assert matrix.packed.shape == (3, 7, 16 * bits // 8)
    assert matrix.scales.shape == (3, 7)
    assert dequantize(matrix).shape == (3, 100)
    padding = pack.unpack(matrix.packed, bits).reshape(3, -1)[:, 100:]
    assert (padding == 2 ** (bits - 1)).all()


@pytest.mark.parametrize("values_at_once", [1, 70, 141, 1000])
def test_quantizing_in_parts_gives_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, values_at_once: int
) -> None:
    weight = np.random.default_rng(0).standard_normal((9, 70)).astype(np.float32)
    whole = quantize_round_to_nearest(weight, 4, 32)
    monkeypatch.setattr(pack, "_VALUES_AT_ONCE", values_at_once)
    parts = quantize_round_to_nearest(weight, 4, 32)
    np.testing.assert_array_equal(parts.packed, whole.packed)
    np.testing.assert_array_equal(parts.scales, whole.scales)


def test_transposed_weights_are_read_like_contiguous_ones() -> None:
    weight = np.random.default_rng(0).standard_normal((48, 20)).astype(np.float32)
    view = quantize_round_to_nearest(weight.T, 4, 16)
    copy = quantize_round_to_nearest(np.ascontiguousarray(weight.T), 4, 16)
    np.testing.assert_array_equal(view.packed, copy.packed)


@pytest.mark.parametrize(("bits", "block_size"), [(3, 32), (16, 32), (4, 8), (4, 48), (8, 0)])
def test_formats_that_the_operator_lacks_are_refused(bits: int, block_size: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        quantize_round_to_nearest(np.zeros((1, 64), np.float32), bits, block_size)


@pytest.mark.parametrize("columns", [64, 100])
@pytest.mark.parametrize("bits", [4, 8])
def test_matmulnbits_reads_the_dequantized_values(bits: int, columns: int) -> None:
    random = np.random.default_rng(0)
    matrix = quantize_round_to_nearest(
        random.standard_normal((24, columns)).astype(np.float32), bits, 16
    )
    x = random.standard_normal((5, columns)).astype(np.float32)
    # accuracy_level 1: activations in float32, so that only the weights are rounded
    product = run_operator(
        "MatMulNBits",
        {"x": x, "packed": matrix.packed, "scales": matrix.scales.astype(np.float32)},
        K=columns,
        N=24,
        bits=bits,
        block_size=16,
        accuracy_level=1,
    )
    np.testing.assert_allclose(product, x @ dequantize(matrix).T, atol=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_gatherblockquantized_reads_the_dequantized_rows(bits: int) -> None:
    weight = np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)
    matrix = quantize_round_to_nearest(weight, bits, 16)
    rows = run_operator(
        "GatherBlockQuantized",
        {
            "packed": matrix.packed.reshape(24, -1),
            "ids": np.array([[3, 0, 23]]),
            "scales": matrix.scales.astype(np.float32),
        },
        bits=bits,
        block_size=16,
        gather_axis=0,
        quantize_axis=1,
    )
    np.testing.assert_allclose(rows[0], dequantize(matrix)[[3, 0, 23]], atol=1e-6)


def run_operator(op_type: str, inputs: dict[str, np.ndarray], **attributes: Any) -> np.ndarray:
    """The float output of one com.microsoft operator; integer operands are constants."""
    constants = {k: v for k, v in inputs.items() if k in ("packed", "scales")}
    fed = {k: v for k, v in inputs.items() if k not in constants}
    graph = helper.make_graph(
        [helper.make_node(op_type, list(inputs), ["y"], domain="com.microsoft", **attributes)],
        "one operator",
        [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in fed.items()
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], fed)[0])
