"""Fixed scales for activations, for graphs in QDQ form (NPUs)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.calibrate.forward import Forward
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.quantize.pack import Range, dequantize
from gpt2_edge_export.quantize.recipe import Recipe
from gpt2_edge_export.quantize.weights import Weights, input_width, is_table

Floats = npt.NDArray[np.float32]
_LEVELS = 255


def activation_ranges(
    weights: Weights, recipe: Recipe, ids: npt.NDArray[np.int64]
) -> dict[str, Range]:
    """The range of every quantized matrix's inputs on the text `ids` [windows, seq], by its name.

    The inputs are those of a model that computes with the quantized weights and float activations.
    """
    source, forward = _Dequantized(weights, recipe), Forward(weights.config)
    found: dict[str, Range] = {}

    def see(name: str, x: Floats) -> None:
        found[name] = full_range(x)

    hidden = forward.embed(source, ids)
    for layer in range(weights.config.n_layer):
        hidden = forward.layer(source, hidden, layer, see)
    see(forward.head, forward.normed(source, hidden, "ln_f"))
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
