"""Fixed scales for activations, for graphs in QDQ form (NPUs)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.config import GPT2Config
from gpt2_edge_export.quantize.forward import Forward
from gpt2_edge_export.quantize.pack import dequantize
from gpt2_edge_export.quantize.recipe import Recipe
from gpt2_edge_export.quantize.weights import Weights, input_width, is_table

Floats = npt.NDArray[np.float32]
_LEVELS = 255


@dataclass(frozen=True)
class Range:
    """What 8 bits of an activation stand for: value = (integer - zero_point) * scale."""

    scale: float
    zero_point: int


def activation_ranges(
    weights: Weights, recipe: Recipe, ids: npt.NDArray[np.int64]
) -> dict[str, Range]:
    """The range of every quantized matrix's inputs on the text `ids` [windows, seq], by its name.

    The inputs are those of a model that computes with the quantized weights and float activations.
    """
    source = _Dequantized(weights, recipe)
    config, forward = weights.config, Forward(weights.config)
    found: dict[str, Range] = {}

    def linear(x: Floats, name: str) -> Floats:
        found[f"{name}.weight"] = full_range(x)
        product: Floats = x @ source.tensor(f"{name}.weight") + source.tensor(f"{name}.bias")
        return product

    def normed(x: Floats, name: str) -> Floats:
        return forward.norm(x, source.tensor(f"{name}.weight"), source.tensor(f"{name}.bias"))

    hidden = forward.embed(source, ids)
    for layer in range(config.n_layer):
        packed = linear(normed(hidden, f"h.{layer}.ln_1"), f"h.{layer}.attn.c_attn")
        hidden = hidden + linear(forward.attention(packed, layer), f"h.{layer}.attn.c_proj")
        inner = linear(normed(hidden, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc")
        hidden = hidden + linear(forward.activation(inner), f"h.{layer}.mlp.c_proj")
    table = "wte.weight" if config.tie_word_embeddings else "lm_head.weight"
    found[table] = full_range(normed(hidden, "ln_f"))
    return found


def full_range(x: Floats) -> Range:
    """The range from the least to the largest value of `x`, zero among its steps.

    Narrower ones of smaller mean square error were tried: on models/sample, clipping what comes out
    of the LayerNorms made the divergence of the whole model 40 times as large, since GPT-2's rare
    large activations matter most.
    """
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = max((high - low) / _LEVELS, 1e-12)
    return Range(float(np.float32(scale)), int(np.clip(np.rint(-low / scale), 0, _LEVELS)))


class _Dequantized:
    """Weights whose quantized matrices are read as the floats that they stand for."""

    def __init__(self, weights: Weights, recipe: Recipe) -> None:
        self.config: GPT2Config = weights.config
        self._weights, self._recipe = weights, recipe
        self.has = weights.has

    def tensor(self, name: str) -> Floats:
        if not (is_table(name) or (name.startswith("h.") and name.endswith(_MATRIX_ENDS))):
            return self._weights.tensor(name)
        form = self._recipe.format(name, input_width(name, self.config))
        if not form.quantized:
            return self._weights.tensor(name)
        rows = dequantize(self._weights.matrix(name, form))
        return rows if is_table(name) else rows.T


_MATRIX_ENDS = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
