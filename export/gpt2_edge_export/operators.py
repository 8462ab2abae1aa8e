"""The operators that compute GPT-2's activation functions."""

from __future__ import annotations

from typing import Any

from gpt2_edge_export.config import ACTIVATIONS
from gpt2_edge_export.onnx_builder import MICROSOFT

_OPERATORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gelu_tanh": ("FastGelu", MICROSOFT, {}),
    "gelu_erf": ("Gelu", MICROSOFT, {}),
    "quick_gelu": ("QuickGelu", MICROSOFT, {"alpha": 1.702}),
    "silu": ("QuickGelu", MICROSOFT, {"alpha": 1.0}),
    "relu": ("Relu", "", {}),
    "tanh": ("Tanh", "", {}),
}


# The least value of activations that are bounded below and not above.
_LEAST = {
    "gelu_tanh": -0.1701,
    "gelu_erf": -0.17,
    "quick_gelu": -0.1637,
    "silu": -0.2785,
    "relu": 0.0,
}


def least_activation(activation_function: str) -> float | None:
    """A lower bound of the activation's values; None where they are as large on both sides."""
    return _LEAST.get(ACTIVATIONS[activation_function])


def activation_operator(activation_function: str) -> tuple[str, str, dict[str, Any]]:
    """Operator type, domain and attributes for a config's activation_function."""
    return _OPERATORS[ACTIVATIONS[activation_function]]
