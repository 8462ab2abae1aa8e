"""Turning float weights into the packed integers that ONNX Runtime's kernels read."""

from gpt2_edge_export.quantize.pack import (
    QuantizedMatrix,
    Range,
    dequantize,
    quantize_round_to_nearest,
)
from gpt2_edge_export.quantize.recipe import RECIPES, MatrixFormat, Recipe, make_recipe
from gpt2_edge_export.quantize.weights import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    RoundedWeights,
    Weights,
    activation_of,
    cache_head_size,
    input_width,
)

__all__ = [
    "EMBEDDING_SCALE",
    "HEAD_BIAS",
    "RECIPES",
    "MatrixFormat",
    "QuantizedMatrix",
    "Range",
    "Recipe",
    "RoundedWeights",
    "Weights",
    "activation_of",
    "cache_head_size",
    "dequantize",
    "input_width",
    "make_recipe",
    "quantize_round_to_nearest",
]
