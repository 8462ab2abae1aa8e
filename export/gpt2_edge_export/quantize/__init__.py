"""Turning float weights into the packed integers that ONNX Runtime's kernels read."""

from gpt2_edge_export.quantize.pack import QuantizedMatrix, dequantize, quantize_round_to_nearest
from gpt2_edge_export.quantize.recipe import RECIPES, MatrixFormat, Recipe, make_recipe

__all__ = [
    "RECIPES",
    "MatrixFormat",
    "QuantizedMatrix",
    "Recipe",
    "dequantize",
    "make_recipe",
    "quantize_round_to_nearest",
]
