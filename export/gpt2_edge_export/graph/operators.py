"""The operators that compute GPT-2's activation functions, in every graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.activations import ACTIVATIONS, Activation
from gpt2_edge_export.graph.onnx_builder import MICROSOFT

# One operator of ONNX Runtime each: type and attributes.
_FUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu_tanh": ("FastGelu", {}),
    "gelu_erf": ("Gelu", {}),
    "quick_gelu": ("QuickGelu", {"alpha": 1.702}),
    "silu": ("QuickGelu", {"alpha": 1.0}),
}
# One operator of ONNX each.
_STANDARD: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
}
# One operator of ONNX each, which mobile providers lack.
_STANDARD_GELU: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "gelu_erf": ("Gelu", {"approximate": "none"}),
}
# The least value of activations that are bounded below.
_LEAST = {
    "gelu_tanh": -0.1701,
    "gelu_erf": -0.17,
    "gelu_clipped": -0.17,
    "quick_gelu": -0.1637,
    "silu": -0.2785,
    "mish": -0.3089,
    "relu": 0.0,
    "relu_squared": 0.0,
    "relu6": 0.0,
    "sigmoid": 0.0,
    "laplace": 0.0,
}
# The least eps of xielu that makes no difference which shows.
_LEAST_EPS = -1e-5


class NodeWriter(Protocol):
    """What takes nodes and constants: OnnxBuilder."""

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        name: str,
        *,
        outputs: Sequence[str] = (),
        domain: str = "",
        **attributes: Any,
    ) -> str: ...

    def weight(self, name: str, value: npt.ArrayLike) -> str: ...


def least_activation(activation_function: str) -> float | None:
    """A lower bound of the activation's values; None where they are as large on both sides."""
    return _LEAST.get(ACTIVATIONS[activation_function])


def takes_bias(activation_function: str) -> bool:
    """Whether `write_activation` with `fused` can add a bias to its input."""
    return ACTIVATIONS[activation_function] == "gelu_tanh"


def write_activation(
    writer: NodeWriter,
    activation: Activation,
    x: str,
    name: str,
    *,
    fused: bool = False,
    basic: bool = False,
    bias: str = "",
) -> str:
    """Write `activation` of the float32 value `x`; the result is called `name`.

    fused: with ONNX Runtime's own operators where it has one. basic: without Gelu. bias: is added
    to x first, where `takes_bias`. The formulas are those of transformers' activations.py.
    """
    kind = ACTIVATIONS[activation.function]
    inputs = [x, bias] if bias else [x]
    if kind == "prelu":  # transformers' has one slope for all channels
        return writer.node("LeakyRelu", inputs, name, alpha=activation.learned["weight"])
    if fused and kind in _FUSED:
        op_type, attributes = _FUSED[kind]
        return writer.node(op_type, inputs, name, domain=MICROSOFT, **attributes)
    single = _STANDARD if basic else _STANDARD | _STANDARD_GELU
    if kind in single:
        op_type, attributes = single[kind]
        return writer.node(op_type, inputs, name, **attributes)
    return _FORMULAS[kind](_Formula(writer, activation, name, fused, basic), x)


class _Formula:
    """Writes a formula node by node; what it names begins with the name of its result."""

    def __init__(
        self, writer: NodeWriter, activation: Activation, name: str, fused: bool, basic: bool
    ) -> None:
        self._writer, self.result, self.fused, self.basic = writer, name, fused, basic
        self.learned = activation.learned

    def part(self, op_type: str, inputs: Sequence[str], name: str) -> str:
        return self._writer.node(op_type, inputs, f"{self.result}.{name}")

    def last(self, op_type: str, inputs: Sequence[str]) -> str:
        return self._writer.node(op_type, inputs, self.result)

    def scalar(self, value: float) -> str:
        return self._writer.weight(f"scalar_{value:.9g}", np.float32(value))

    def gelu(self, x: str) -> str:
        """The exact GELU of x, as a part."""
        name, exact = f"{self.result}.gelu", Activation("gelu")
        return write_activation(self._writer, exact, x, name, fused=self.fused, basic=self.basic)


def _gelu_tanh(f: _Formula, x: str) -> str:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))"""
    square = f.part("Mul", [x, x], "square")
    scaled = f.part("Mul", [square, f.scalar(0.044715)], "cubic")
    factor = f.part("Add", [scaled, f.scalar(1.0)], "factor")
    product = f.part("Mul", [x, factor], "p")
    argument = f.part("Mul", [product, f.scalar(math.sqrt(2 / math.pi))], "argument")
    return _half_gated(f, x, f.part("Tanh", [argument], "tanh"))


def _gelu_erf(f: _Formula, x: str) -> str:
    """0.5 x (1 + erf(x / sqrt(2)))"""
    argument = f.part("Mul", [x, f.scalar(math.sqrt(0.5))], "x")
    return _half_gated(f, x, f.part("Erf", [argument], "e"))


def _half_gated(f: _Formula, x: str, inner: str) -> str:
    half = f.part("Mul", [x, f.scalar(0.5)], "half")
    return f.last("Mul", [half, f.part("Add", [inner, f.scalar(1.0)], "gate")])


def _gelu_clipped(f: _Formula, x: str) -> str:
    return f.last("Clip", [f.gelu(x), f.scalar(-10.0), f.scalar(10.0)])


def _silu(f: _Formula, x: str) -> str:
    return f.last("Mul", [x, f.part("Sigmoid", [x], "gate")])


def _quick_gelu(f: _Formula, x: str) -> str:
    scaled = f.part("Mul", [x, f.scalar(1.702)], "scaled")
    return f.last("Mul", [x, f.part("Sigmoid", [scaled], "gate")])


def _mish(f: _Formula, x: str) -> str:
    """X tanh(ln(1 + e^x))"""
    return f.last("Mul", [x, f.part("Tanh", [f.part("Softplus", [x], "softplus")], "gate")])


def _relu_squared(f: _Formula, x: str) -> str:
    positive = f.part("Relu", [x], "positive")
    return f.last("Mul", [positive, positive])


def _relu6(f: _Formula, x: str) -> str:
    return f.last("Clip", [x, f.scalar(0.0), f.scalar(6.0)])


def _laplace(f: _Formula, x: str) -> str:
    """0.5 (1 + erf((x - mu) / (sigma sqrt(2)))), with transformers' mu and sigma"""
    centred = f.part("Sub", [x, f.scalar(0.707107)], "centred")
    argument = f.part("Mul", [centred, f.scalar(1 / (0.282095 * math.sqrt(2)))], "argument")
    gate = f.part("Add", [f.part("Erf", [argument], "erf"), f.scalar(1.0)], "gate")
    return f.last("Mul", [gate, f.scalar(0.5)])


def _linear(f: _Formula, x: str) -> str:
    return f.last("Identity", [x])


def _xielu(f: _Formula, x: str) -> str:
    """a_p x^2 for positive x, a_n (e^x - 1 - x) for others, beta x added: arXiv:2411.13010

    Where transformers takes the exponential of -1e-6 for values above that, this takes theirs. It
    keeps the numbers, and computes with them alone, in bfloat16, whatever type the model has.
    """
    given = f.learned
    if given["eps"] < _LEAST_EPS:
        raise CheckpointError(f"xielu with an eps of {given['eps']:g} is not known; it has -1e-06")
    positive = f.part("Relu", [x], "positive")
    negative = f.part("Sub", [x, positive], "negative")
    square = f.part("Mul", [positive, positive], "square")
    curve = f.part("Sub", [f.part("Elu", [negative], "elu"), negative], "curve")
    beta = _bfloat16(given["beta"])
    alpha_n = _bfloat16(beta + _softplus(given["alpha_n"]))
    sides = [
        f.part("Mul", [square, f.scalar(_softplus(given["alpha_p"]))], "right"),
        f.part("Mul", [curve, f.scalar(alpha_n)], "left"),
    ]
    bent = f.part("Add", sides, "bent")
    return f.last("Add", [bent, f.part("Mul", [x, f.scalar(beta)], "line")])


def _softplus(value: float) -> float:
    return _bfloat16(np.logaddexp(np.float32(0), np.float32(_bfloat16(value))))


def _bfloat16(value: float | np.float32) -> float:
    return float(np.float32(value).astype(ml_dtypes.bfloat16))


_FORMULAS: dict[str, Callable[[_Formula, str], str]] = {
    "gelu_tanh": _gelu_tanh,
    "gelu_erf": _gelu_erf,
    "gelu_clipped": _gelu_clipped,
    "silu": _silu,
    "quick_gelu": _quick_gelu,
    "mish": _mish,
    "relu_squared": _relu_squared,
    "relu6": _relu6,
    "laplace": _laplace,
    "linear": _linear,
    "xielu": _xielu,
}
