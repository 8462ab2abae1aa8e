"""Integer products of a graph for one sequence, node by node, and the weights that they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.files.onnx_edit import FLOAT, MICROSOFT, UINT8, Node, node_bytes, tensor_bytes

_INT8, _INT64 = 3, 7  # TensorProto.DataType
# Where zero lies in the 8 bits of a row: in the middle, or low for what comes out of a GELU, which
# gives no less than this. As in the export's linear.py.
_MIDDLE, _LOW = 128, 32
_LEAST_GELU = 0.1701
# What a step of the first product is worth in those of the second, which has the rest of at most
# half a step.
_FINER = 254


class IntegerProducts:
    """Writes products; `constants` are the tensors that these read, by name.

    unsigned: weights are written as they are beyond the processors that multiply signed ones
    exactly. ONNX Runtime would make them unsigned itself, but not those that two products share.
    """

    def __init__(self, unsigned: bool = False) -> None:
        self._unsigned = unsigned
        self.constants: dict[str, bytes] = {}

    def product(
        self,
        x: str,
        result: str,
        integers: npt.NDArray[np.int8],
        steps: npt.NDArray[np.float32],
        *,
        finely: bool,
        behind_gelu: bool,
        bias: str,
    ) -> bytes:
        """Nodes that multiply x [1, S, K] by the weights of `by_column`, and add `bias` if any.

        finely: round x to 16 bits. behind_gelu: x is hardly negative.
        """
        zero = _LOW if behind_gelu else _MIDDLE
        levels = 255 - zero
        parts: list[bytes] = []

        def write(operator: str, inputs: list[str], outputs: list[str], **integers: int) -> None:
            parts.append(node_bytes(operator, inputs, outputs, "", **integers))

        name = f"{result}.prompt"
        last, flat = self._int64("last_axis", [-1]), self._int64("flat", [-1])
        zero_point = self._constant(f"zero_{zero}", UINT8, np.uint8(zero))
        if behind_gelu:
            least = self._float("least_reach", _LEAST_GELU * levels / zero)
            write("ReduceMax", [x, last], [f"{name}.largest"], keepdims=1)
            write("Max", [f"{name}.largest", least], [f"{name}.reach"])
        else:
            write("Abs", [x], [f"{name}.magnitudes"])
            write("ReduceMax", [f"{name}.magnitudes", last], [f"{name}.reach"], keepdims=1)
        level = self._float(f"level_{levels}", 1 / levels)
        write("Mul", [f"{name}.reach", level], [f"{name}.step"])  # [1, S, 1]
        write("Reshape", [f"{name}.step", flat], [f"{name}.steps"])  # [S]
        write("Shape", [f"{name}.steps"], [f"{name}.tokens"])
        write("Expand", [zero_point, f"{name}.tokens"], [f"{name}.zeros"])
        weights = (
            self._weight(f"{name}.weight", integers),
            self._constant(f"{name}.weight.scales", FLOAT, steps),
        )
        rounding = [f"{name}.steps", f"{name}.zeros"]
        write("QuantizeLinear", [x, *rounding], [f"{name}.q"], axis=1)
        parts.append(
            self._multiply(f"{name}.q", weights, "one", 1.0, zero_point, f"{name}.product")
        )
        total = f"{name}.product"
        if finely:
            finer = self._float("finer", 1 / _FINER)
            write("DequantizeLinear", [f"{name}.q", *rounding], [f"{name}.x"], axis=1)
            write("Sub", [x, f"{name}.x"], [f"{name}.rest"])
            write("Mul", [f"{name}.steps", finer], [f"{name}.rest.steps"])
            rounding[0] = f"{name}.rest.steps"
            write("QuantizeLinear", [f"{name}.rest", *rounding], [f"{name}.rest.q"], axis=1)
            rest = f"{name}.rest.product"
            parts.append(
                self._multiply(f"{name}.rest.q", weights, "finer", 1 / _FINER, zero_point, rest)
            )
            total = f"{name}.total"
            write("Add", [f"{name}.product", rest], [total])
        scaled = f"{name}.scaled" if bias else result
        write("Mul", [total, f"{name}.step"], [scaled])
        if bias:
            write("Add", [scaled, bias], [result])
        return b"".join(parts)

    def _multiply(
        self, rows: str, weights: tuple[str, str], step: str, value: float, zero: str, result: str
    ) -> bytes:
        # A zero point of its own each: see linear.py.
        own = self._weight(f"{result}.zero", np.int8(0))
        return node_bytes(
            "MatMulIntegerToFloat",
            [rows, weights[0], self._float(step, value), weights[1], zero, own],
            [result],
            MICROSOFT,
        )

    def _weight(self, name: str, integers: npt.NDArray[np.int8] | np.int8) -> str:
        """Weights, or their zero."""
        if not self._unsigned:
            return self._constant(name, _INT8, integers)
        return self._constant(name, UINT8, np.asarray(integers).view(np.uint8) ^ np.uint8(128))

    def _float(self, name: str, value: float) -> str:
        return self._constant(name, FLOAT, np.float32(value))

    def _int64(self, name: str, values: list[int]) -> str:
        return self._constant(name, _INT64, np.array(values, "<i8"))

    def _constant(self, name: str, data_type: int, value: npt.ArrayLike) -> str:
        """A new tensor, written once; its name in the graph."""
        full = (
            name if name.endswith((".weight", ".scales", ".zero")) else f"gpt2_edge.prompt.{name}"
        )
        if full not in self.constants:
            array = np.asarray(value)
            self.constants[full] = tensor_bytes(full, data_type, array.shape, array.tobytes())
        return full


def with_bias(node: Node, bias: str) -> bytes:
    """An addition or FastGelu behind a product, that adds the product's bias too."""
    if node.operator == "Add":
        return node_bytes("Sum", [*node.inputs, bias], node.outputs)
    return node_bytes(node.operator, [*node.inputs, bias], node.outputs, MICROSOFT)


def by_column(
    packed: npt.NDArray[Any], scales: npt.NDArray[Any], bits: int, width: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """MatMulNBits' weights, [N, blocks, bytes] with scales [N, blocks], as int8 [K, N] with a
    float32 scale a column [N].

    As the operator's specification says, the lower half of a byte comes first, and zero is 8 (or
    128). A column of zeros has the scale 1.
    """
    columns, blocks, _ = packed.shape
    bytes_ = packed.astype(np.uint8, copy=False)
    if bits == 4:
        levels = np.stack([bytes_ & 15, bytes_ >> 4], axis=-1).reshape(columns, blocks, -1)
    else:
        levels = bytes_
    zero = np.float32(1 << (bits - 1))
    values = (levels.astype(np.float32) - zero) * scales.astype(np.float32)[:, :, None]
    values = values.reshape(columns, -1)[:, :width]
    steps = np.abs(values).max(axis=1, initial=0) / np.float32(127)
    steps = np.where(steps > 0, steps, np.float32(1)).astype(np.float32)
    integers = np.rint(values / steps[:, None]).astype(np.int8)
    return np.ascontiguousarray(integers.T), steps
