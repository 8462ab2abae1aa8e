"""GPT-2 in float64 NumPy, straight from a checkpoint's files: slow, plain, and independent.

After Radford et al. 2019 and transformers' modeling_gpt2; it imports nothing of this project.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes  # registers bfloat16 as well, which safetensors asks for by name
import numpy as np
from safetensors.numpy import load_file

Array = np.ndarray


class Oracle:
    """A GPT-2 given by its config.json and its tensors; linear weights are [in, out]."""

    def __init__(self, config: dict[str, Any], tensors: dict[str, Array]) -> None:
        self.config = config
        self.tensors = {
            name.removeprefix("transformer."): value.astype(np.float64)
            for name, value in tensors.items()
        }
        self._weights: list[Array] | None = None  # each layer's, where they are asked for
        self.activation = config.get("activation_function", "gelu_new")

    @classmethod
    def load(cls, folder: Path) -> Oracle:
        """The checkpoint in `folder`: config.json and all *.safetensors."""
        tensors: dict[str, Array] = {}
        for file in sorted(folder.glob("*.safetensors")):
            tensors |= load_file(file)
        return cls(json.loads((folder / "config.json").read_text("utf-8")), tensors)

    def logits(self, ids: Sequence[int]) -> Array:
        """Logits [tokens, vocab] after each of `ids`."""
        x = self.tensors["wte.weight"][list(ids)] + self.tensors["wpe.weight"][: len(ids)]
        for layer in range(self.config["n_layer"]):
            x = x + self._attention(self._norm(x, f"h.{layer}.ln_1"), layer)
            inner = self._linear(self._norm(x, f"h.{layer}.ln_2"), layer, "mlp.c_fc")
            inner = self.activate(inner, layer)
            x = x + self._linear(inner, layer, "mlp.c_proj")
        tied = self.config.get("tie_word_embeddings", True)
        head = self.tensors["wte.weight" if tied else "lm_head.weight"]
        return self._norm(x, "ln_f") @ head.T

    def activate(self, x: Array, layer: int) -> Array:
        """The activation of layer number `layer`."""
        if self.activation not in LEARNED:
            return ACTIVATIONS[self.activation](x)
        prefix = f"h.{layer}.mlp.act."
        learned = {
            name.removeprefix(prefix): value.item()
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }
        return LEARNED[self.activation](x, learned)

    def attention(self, ids: Sequence[int]) -> Array:
        """Attention's weights [layers, heads, tokens, tokens] among `ids`."""
        self._weights = []
        self.logits(ids)
        weights, self._weights = np.stack(self._weights), None
        return weights

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """The `count` likeliest tokens after `ids`, each fed back."""
        sequence = list(ids)
        for _ in range(count):
            sequence.append(int(self.logits(sequence)[-1].argmax()))
        return sequence[len(ids) :]

    def _attention(self, x: Array, layer: int) -> Array:
        tokens, width = x.shape
        heads = self.config["n_head"]
        packed = self._linear(x, layer, "attn.c_attn")
        query, key, value = (
            part.reshape(tokens, heads, width // heads).transpose(1, 0, 2)
            for part in np.split(packed, 3, axis=1)
        )
        scores = query @ key.transpose(0, 2, 1)
        if self.config.get("scale_attn_weights", True):
            scores = scores / math.sqrt(width // heads)
        if self.config.get("scale_attn_by_inverse_layer_idx", False):
            scores = scores / (layer + 1)
        scores = np.where(np.tri(tokens, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        if self._weights is not None:
            self._weights.append(weights)
        joined = (weights @ value).transpose(1, 0, 2).reshape(tokens, width)
        return self._linear(joined, layer, "attn.c_proj")

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        normed = centred / np.sqrt(variance + self.config.get("layer_norm_epsilon", 1e-5))
        return normed * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def _linear(self, x: Array, layer: int, name: str) -> Array:
        weight, bias = (self.tensors[f"h.{layer}.{name}.{part}"] for part in ("weight", "bias"))
        return x @ weight + bias


def _gelu_tanh(x: Array) -> Array:
    """Hendrycks and Gimpel 2016, the approximation of OpenAI's GPT-2."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _laplace(x: Array) -> Array:
    """Ma et al. 2022 (MEGA), with the constants that transformers has."""
    return 0.5 * (1 + np.vectorize(math.erf)((x - 0.707107) / (0.282095 * math.sqrt(2))))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_python_tanh": _gelu_tanh,
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu": _gelu,
    "gelu_python": _gelu,
    "gelu_10": lambda x: np.clip(_gelu(x), -10, 10),
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "laplace": _laplace,
    "linear": lambda x: x,
}


def _xielu(x: Array, learned: Mapping[str, float]) -> Array:
    """Huang and Schlag 2024, with transformers' numbers in bfloat16."""
    alpha_p, alpha_n, beta, eps = (
        np.float32(learned[name]).astype(ml_dtypes.bfloat16)
        for name in ("alpha_p", "alpha_n", "beta", "eps")
    )
    positive, negative = (
        np.logaddexp(np.float32(0), alpha.astype(np.float32)).astype(ml_dtypes.bfloat16)
        for alpha in (alpha_p, alpha_n)
    )
    factor = float(beta + negative)
    left = (np.expm1(np.minimum(x, float(eps))) - x) * factor
    return np.where(x > 0, float(positive) * x * x, left) + float(beta) * x


# Those that have numbers of their own in every layer.
LEARNED: dict[str, Callable[[Array, Mapping[str, float]], Array]] = {
    "prelu": lambda x, learned: np.where(x > 0, x, learned["weight"] * x),
    "xielu": _xielu,
}
ALL_ACTIVATIONS = (*ACTIVATIONS, *LEARNED)
