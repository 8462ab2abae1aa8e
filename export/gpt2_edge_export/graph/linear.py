"""Matrix products of the graph, in every format a matrix can have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from gpt2_edge.errors import ExportError
from gpt2_edge_export.graph.onnx_builder import MICROSOFT, OnnxBuilder
from gpt2_edge_export.graph.operators import least_activation
from gpt2_edge_export.graph.whole_columns import filled, only
from gpt2_edge_export.quantize import MatrixFormat, Recipe, Weights, input_width

_INT8_COMPUTE = 4  # accuracy_level: activations in int8 blocks; 0 would be 3 to 100 times slower
# Where zero lies in the 8 bits of a row of activations: in the middle, or low for what comes out of
# a GELU, which is hardly negative.
_MIDDLE, _LOW = 128, 32
_HEADROOM = 64.0


class LinearOperators:
    """Adds x W + b to a graph; weights are read, written and forgotten one at a time."""

    def __init__(
        self, builder: OnnxBuilder, weights: Weights, recipe: Recipe, halves: bool = False
    ) -> None:
        """halves: multiply in float16, as GPUs like it; sums and results stay float32."""
        self._builder = builder
        self._halves = halves
        self._weights = weights
        self._recipe = recipe

    def apply(self, x: str, name: str) -> str:
        """X [B, S, in] times the matrix `name`.weight [in, out], plus `name`.bias."""
        node = self._builder.node
        product, bias = self.product(x, name)
        return node("Add", [product, bias], name) if bias else product

    def product(self, x: str, name: str) -> tuple[str, str]:
        """Like `apply`, but the bias may be left for the next operator to add: then its name."""
        weight = f"{name}.weight"
        array = self._weights.tensor(f"{name}.bias")
        bias = self._builder.weight(f"{name}.bias", array)
        width = input_width(weight, self._weights.config)
        form = self._recipe.format(weight, width)
        if form.by_row:
            return self._by_row(x, name, form), bias
        if form.quantized and not self._halves:
            return self.matmul_nbits(x, weight, (width, len(array)), form, name, bias), ""
        if form.quantized:
            return self.matmul_nbits(x, weight, (width, len(array)), form, f"{name}.product"), bias
        if self._halves and form.bits == 16:
            return self.in_halves(
                x, f"{name}.product", lambda half: self._half_matmul(half, weight)
            ), bias
        node = self._builder.node
        product = node("MatMul", [x, self.floats(weight)], f"{name}.product")
        return (product, bias) if self._halves else (node("Add", [product, bias], name), "")

    def in_halves(self, x: str, name: str, multiply: Callable[[str], str]) -> str:
        """What `multiply` makes of x in float16, in float32.

        Results beyond 65,504 would be infinite, so x is divided by a power of two first and the
        result multiplied by it: neither rounds.
        """
        node, constant = self._builder.node, self._builder.weight
        small = node(
            "Mul", [x, constant("headroom_less", np.float32(1 / _HEADROOM))], f"{name}.less"
        )
        product = multiply(node("Cast", [small], f"{name}.halves", to=TensorProto.FLOAT16))
        wide = node("Cast", [product], f"{name}.wide", to=TensorProto.FLOAT)
        return node("Mul", [wide, constant("headroom", np.float32(_HEADROOM))], name)

    def _half_matmul(self, half: str, weight: str) -> str:
        self.floats(weight)
        return self._builder.node("MatMul", [half, weight], f"{weight}.halves")

    def matmul_nbits(
        self,
        x: str,
        weight: str,
        shape: tuple[int, int],
        form: MatrixFormat,
        name: str,
        bias: str = "",
    ) -> str:
        """X times the quantized matrix `weight` of `shape` (in, out)."""
        if self._halves:
            assert not bias  # float32, and added behind
            return self.in_halves(x, name, lambda half: self._nbits(half, weight, shape, form, ""))
        return self._nbits(x, weight, shape, form, bias, name)

    def _nbits(
        self,
        x: str,
        weight: str,
        shape: tuple[int, int],
        form: MatrixFormat,
        bias: str,
        name: str = "",
    ) -> str:
        packed, scales = self.packed(weight, form)
        inputs = [x, packed, f"{weight}.scales" if self._halves else scales]
        if bias:
            inputs += ["", "", bias]  # no zero points, no group index
        return self._builder.node(
            "MatMulNBits",
            inputs,
            name or f"{weight}.halves",
            domain=MICROSOFT,
            K=shape[0],
            N=shape[1],
            bits=form.bits,
            block_size=form.block_size,
            accuracy_level=_INT8_COMPUTE,
        )

    def packed(self, name: str, form: MatrixFormat) -> tuple[str, str]:
        """Names of the integers and float32 scales of a quantized matrix, made once."""
        packed = f"{name}.q{form.bits}"
        if not self._builder.has_weight(packed):
            matrix = self._weights.matrix(name, form)
            self._builder.weight(packed, matrix.packed)
            self._float16(f"{name}.scales", matrix.scales)
        return packed, f"{name}.scales.f32"

    def floats(self, name: str) -> str:
        """The float32 matrix `name`, stored in 16 bits where the recipe says so."""
        halves = self._recipe.format(name, 0).bits == 16
        if self._builder.has_weight(name):
            return f"{name}.f32" if halves else name
        array = self._weights.tensor(name)
        if halves:
            return self._float16(name, checked_float16(name, array))
        return self._builder.weight(name, array)

    def positions(self) -> str:
        """Position embeddings; no recipe but fp32 needs them in more than 16 bits."""
        name = "wpe.weight"
        array = self._weights.tensor(name)
        if self._recipe.linear.bits == 32:
            return self._builder.weight(name, array)
        return self._float16(name, checked_float16(name, array))

    def _by_row(self, x: str, name: str, form: MatrixFormat) -> str:
        """Rows of x in 8 bits with a scale each, times 8-bit weights with one scale per output.

        A row's result does not depend on the others, and sums are exact integers: weights are
        signed, because kernels for VNNI and AMX take these two to three times as fast as unsigned
        ones; where a processor would add them in 16 bits that overflow, `session.py` has ONNX
        Runtime make them unsigned. A row of zeros is divided by zero, but whatever integers that
        gives are multiplied by it again.
        """
        node, constant = self._builder.node, self._builder.weight
        last = constant("last_axis", np.array([-1]))
        least = self._least_input(name)
        if least is None:
            zero, magnitudes = _MIDDLE, node("Abs", [x], f"{name}.magnitudes")
            reach = node("ReduceMax", [magnitudes, last], f"{name}.reach", keepdims=1)
        else:  # the range below zero has to hold the least value
            zero, largest = _LOW, node("ReduceMax", [x, last], f"{name}.largest", keepdims=1)
            enough = np.float32(-least * (255 - zero) / zero)
            reach = node("Max", [largest, constant("least_reach", enough)], f"{name}.reach")
        relative = node("Div", [x, reach], f"{name}.relative")
        step = constant(f"step_{zero}", np.float32(1 / (255 - zero)))
        zero_point = constant(f"zero_{zero}", np.uint8(zero))
        integers = node("QuantizeLinear", [relative, step, zero_point], f"{name}.integers")
        matrix = self._weights.matrix(f"{name}.weight", form)
        signed = (matrix.packed[:, 0].T ^ np.uint8(_MIDDLE)).view(np.int8)  # less 128
        product = node(
            "MatMulIntegerToFloat",
            [
                integers,
                constant(f"{name}.weight.q8", np.ascontiguousarray(filled(signed))),
                step,
                self._float16(f"{name}.weight.scales", filled(matrix.scales[:, 0])),
                zero_point,
                # Left out it would be 0 too, but ONNX Runtime corrupts memory then where it makes
                # the weights unsigned (seen with 1.24 and 1.27); it fails where two share one.
                constant(f"{name}.weight.zero", np.int8(0)),
            ],
            f"{name}.product",
            domain=MICROSOFT,
        )
        product = only(self._builder, product, signed.shape[1])
        return node("Mul", [product, reach], f"{name}.scaled")

    def _least_input(self, name: str) -> float | None:
        """A lower bound of the inputs of the linear layer `name`, where one is known."""
        if not name.endswith(".mlp.c_proj"):
            return None
        return least_activation(self._weights.config.activation_function)

    def _float16(self, name: str, array: npt.NDArray[np.float16]) -> str:
        """A float16 initializer that the graph reads as float32.

        It halves what the array costs in the file; ONNX Runtime folds the Cast on loading.
        """
        stored = self._builder.weight(name, array)
        return self._builder.node("Cast", [stored], f"{name}.f32", to=TensorProto.FLOAT)


def checked_float16(name: str, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """`array` as float16; ExportError where a value is too large for it."""
    largest = float(np.max(np.abs(array), initial=0))
    if largest > float(np.finfo(np.float16).max):  # a float16 would overflow in the comparison
        raise ExportError(
            f"{name} has values up to {largest:.3g}, too large for float16; the checkpoint is "
            "damaged, or export it as fp32"
        )
    return array.astype(np.float16)
