"""Matrix products in standard ONNX operators, for the flavours `portable` and `static`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from gpt2_edge_export.graph.linear import checked_float16
from gpt2_edge_export.graph.onnx_builder import OnnxBuilder
from gpt2_edge_export.graph.whole_columns import filled, only
from gpt2_edge_export.quantize import (
    MatrixFormat,
    QuantizedMatrix,
    Range,
    Recipe,
    Weights,
    input_width,
)
from gpt2_edge_export.quantize.pack import unpack

Floats = npt.NDArray[np.float32]
_MIDDLE = 128


class StandardLinear:
    """Adds x W + b to a graph. Matrices are float, 8 bits by row, or 4 and 8 bits in blocks.

    ranges: of the inputs of matrices in 8 bits by row, by tensor name. With them activations are
    rounded with a fixed scale in QDQ form, as NPUs want it; without, every row has its own.
    """

    def __init__(
        self,
        builder: OnnxBuilder,
        weights: Weights,
        recipe: Recipe,
        ranges: Mapping[str, Range] | None = None,
    ) -> None:
        self._builder = builder
        self._weights = weights
        self._recipe = recipe
        self._ranges = ranges

    def apply(self, x: str, name: str) -> str:
        """X [B, S, in] times the matrix `name`.weight [in, out], plus `name`.bias."""
        bias = self._builder.weight_of(f"{name}.bias", self._weights.tensor)
        return self._builder.node("Add", [self.product(x, f"{name}.weight"), bias], name)

    def product(self, x: str, weight: str) -> str:
        """X [..., in] times the matrix `weight`; a table is transposed."""
        form = self._recipe.format(weight, input_width(weight, self._weights.config))
        name = weight.removesuffix(".weight") + ".product"
        if not form.quantized:
            return self._builder.node("MatMul", [x, self._floats(weight, form)], name)
        if not form.by_row:
            return self._builder.node("MatMul", [x, self._blocks(weight, form)], name)
        if self._ranges is None:
            return self._by_row(x, weight, form, name)
        return self._qdq(x, weight, form, name)

    def embedding(self, ids: str) -> str:
        """Rows of the token table for ids [B, S]: float32 [B, S, H]."""
        node = self._builder.node
        table = "wte.weight"
        form = self._recipe.format(table, self._weights.config.n_embd)
        # The head multiplies by [H, V]; the embedding reads its columns, so there is one table.
        if not form.quantized:
            columns = node("Gather", [self._floats(table, form), ids], "tokens.columns", axis=1)
            return node("Transpose", [columns], "tokens", perm=[1, 2, 0])
        integers, scales = self._integers(table, form)
        columns = node("Gather", [integers, ids], "tokens.columns", axis=1)
        rows = node("Transpose", [columns], "tokens.rows", perm=[1, 2, 0])
        rows = node("Cast", [rows], "tokens.floats", to=TensorProto.FLOAT)
        steps = node("Gather", [scales, ids], "tokens.steps")  # [B, S]
        last = self._builder.weight("last_axis", np.array([-1]))
        steps = node("Unsqueeze", [steps, last], "tokens.scales")
        return node("Mul", [rows, steps], "tokens")

    def positions(self, positions: str) -> str:
        """Position embeddings [B, S, H]; stored in 16 bits by every recipe but fp32."""
        name, node = "wpe.weight", self._builder.node
        if self._recipe.linear.bits == 32:
            return node(
                "Gather",
                [self._builder.weight_of(name, self._weights.tensor), positions],
                "positions",
            )
        if not self._builder.has_weight(name):
            self._builder.weight(name, checked_float16(name, self._weights.tensor(name)))
        return node("Gather", [self._widened(name), positions], "positions")

    def _floats(self, weight: str, form: MatrixFormat) -> str:
        """The float matrix [in, out], stored in 16 bits where the recipe says so."""
        halves = form.bits == 16
        if not self._builder.has_weight(weight):
            array = self._weights.tensor(weight)
            array = np.ascontiguousarray(array.T if _is_table(weight) else array)
            self._builder.weight(weight, checked_float16(weight, array) if halves else array)
        return self._widened(weight) if halves else weight

    def _widened(self, halves: str) -> str:
        """The float16 initializer `halves` as float32, whole: that is done once, on loading.

        Not every device has 16-bit floats.
        """
        name = f"{halves}.f32"
        if not self._builder.has_node(name):
            self._builder.node("Cast", [halves], name, to=TensorProto.FLOAT)
        return name

    def _blocks(self, weight: str, form: MatrixFormat) -> str:
        """A matrix in blocks, dequantized: ONNX Runtime makes one operator of both."""
        matrix = self._weights.matrix(weight, form)
        outputs = len(matrix.scales)
        integers = unpack(matrix.packed, form.bits).reshape(outputs, -1).T  # [in, out]
        values = self._builder.tensor(f"{weight}.q{form.bits}", _signed(integers, form.bits))
        scales = self._builder.weight(
            f"{weight}.scales", np.ascontiguousarray(matrix.scales.T, np.float32)
        )
        return self._builder.node(
            "DequantizeLinear",
            [values, scales],
            f"{weight}.f32",
            axis=0,
            block_size=matrix.block_size,
        )

    def _integers(self, weight: str, form: MatrixFormat) -> tuple[str, str]:
        """Names of an 8-bit matrix: int8 [in, out or a little more], and its float32 scales [out];
        made once.
        """
        integers, scales = f"{weight}.q8", f"{weight}.scales"
        if not self._builder.has_weight(integers):
            matrix: QuantizedMatrix = self._weights.matrix(weight, form)
            signed = (matrix.packed[:, 0].T ^ np.uint8(_MIDDLE)).view(np.int8)  # less 128
            if self._ranges is None:  # of MatMulInteger
                signed = filled(signed)
            self._builder.weight(integers, np.ascontiguousarray(signed))
            self._builder.weight(scales, matrix.scales[:, 0].astype(np.float32))
        return integers, scales

    def _by_row(self, x: str, weight: str, form: MatrixFormat, name: str) -> str:
        """Every row of x in 8 bits with a scale of its own, as in linear.py."""
        node, constant = self._builder.node, self._builder.weight
        integers, scales = self._integers(weight, form)
        step = constant("row_step", np.float32(1 / 127))
        zero = constant("row_zero", np.uint8(_MIDDLE))
        magnitudes = node("Abs", [x], f"{name}.magnitudes")
        last = constant("last_axis", np.array([-1]))
        reach = node("ReduceMax", [magnitudes, last], f"{name}.reach", keepdims=1)
        # A row of zeros must not be divided by zero: NaN to an integer is anybody's guess.
        reach = node("Max", [reach, constant("least_reach", np.float32(1e-30))], f"{name}.divisor")
        relative = node("Div", [x, reach], f"{name}.relative")
        rounded = node("QuantizeLinear", [relative, step, zero], f"{name}.integers")
        # Left out it would be 0 too, but ONNX Runtime corrupts memory then where it makes the
        # weights unsigned (seen with 1.24 and 1.27); it fails where two share one.
        no_offset = constant(f"{weight}.zero", np.int8(0))
        sums = node("MatMulInteger", [rounded, integers, zero, no_offset], f"{name}.sums")
        sums = only(self._builder, sums, self._outputs(weight))
        floats = node("Cast", [sums], f"{name}.floats", to=TensorProto.FLOAT)
        row_steps = node("Mul", [reach, step], f"{name}.row_steps")
        return node("Mul", [node("Mul", [floats, scales], f"{name}.scaled"), row_steps], name)

    def _qdq(self, x: str, weight: str, form: MatrixFormat, name: str) -> str:
        """Inputs rounded with a fixed scale: QuantizeLinear and DequantizeLinear on both sides."""
        assert self._ranges is not None
        node, constant, given = self._builder.node, self._builder.weight, self._ranges[weight]
        integers, scales = self._integers(weight, form)
        step = constant(f"{name}.step", np.float32(given.scale))
        zero = constant(f"{name}.zero", np.uint8(given.zero_point))
        rounded = node("QuantizeLinear", [x, step, zero], f"{name}.integers")
        inputs = node("DequantizeLinear", [rounded, step, zero], f"{name}.inputs")
        if not self._builder.has_node(f"{weight}.f32"):
            no_offset = constant(f"{weight}.zero_points", np.zeros(self._outputs(weight), np.int8))
            node("DequantizeLinear", [integers, scales, no_offset], f"{weight}.f32", axis=1)
        return node("MatMul", [inputs, f"{weight}.f32"], name)

    def _outputs(self, weight: str) -> int:
        return self._builder.weight_shape(f"{weight}.scales")[0]


def _is_table(weight: str) -> bool:
    return not weight.startswith("h.")


def _signed(values: npt.NDArray[np.uint8], bits: int) -> onnx.TensorProto:
    """Integers [rows, columns] around 2^(bits-1) as a signed ONNX tensor.

    Two 4-bit values lie in a byte, the even one in its low half.
    """
    kind = TensorProto.INT4 if bits == 4 else TensorProto.INT8
    flat = np.ascontiguousarray(values ^ np.uint8(2 ** (bits - 1))).reshape(-1)
    if bits == 4:
        flat = np.pad(flat, (0, len(flat) % 2))
        flat = flat[::2] | np.left_shift(flat[1::2], np.uint8(4))
    return TensorProto(data_type=kind, dims=values.shape, raw_data=flat.tobytes())
