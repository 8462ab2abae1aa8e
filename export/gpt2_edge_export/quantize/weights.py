"""Where the graph takes its weights from: the checkpoint, as floats or rounded to nearest.

Linear weights are [in, out] as GPT-2 stores them; quantized ones are [out, in]. Heads whose size 8
does not divide are padded with zeros here, since GroupQueryAttention refuses them: that changes
neither a score nor an output.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge_export.checkpoint.activations import Activation
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.quantize.pack import QuantizedMatrix, quantize_round_to_nearest
from gpt2_edge_export.quantize.recipe import MatrixFormat

Floats = npt.NDArray[np.float32]

_HEAD_SIZE_MULTIPLE = 8
# Tensors of calibrated weights only: what the head adds for the mean of its inputs, and the factor
# [H] for the rows of a table whose channels were scaled to suit the head.
HEAD_BIAS = "lm_head.bias"
EMBEDDING_SCALE = "wte.scale"


def cache_head_size(config: GPT2Config) -> int:
    """Head size in the cache: that of the model, rounded up to what the operator takes."""
    return -(-config.head_size // _HEAD_SIZE_MULTIPLE) * _HEAD_SIZE_MULTIPLE


def input_width(name: str, config: GPT2Config) -> int:
    """Inputs of the matrix `name`: a table, or `h.{layer}.` and one of MATRICES."""
    widths = {
        "attn.c_proj": config.n_head * cache_head_size(config),
        "mlp.c_proj": config.n_inner,
    }
    matrix = name.removesuffix(".weight")
    matrix = matrix.split(".", 2)[2] if matrix.startswith("h.") else matrix
    return widths.get(matrix, config.n_embd)


class TensorSource(Protocol):
    """Float tensors: a checkpoint's, or what stands for them."""

    @property
    def config(self) -> GPT2Config: ...

    def has(self, name: str) -> bool: ...

    def tensor(self, name: str) -> Floats: ...


class Weights(TensorSource, Protocol):
    """What the graph is built from."""

    def matrix(self, name: str, form: MatrixFormat) -> QuantizedMatrix: ...


def activation_of(source: TensorSource, layer: int) -> Activation:
    """The activation of layer number `layer`, with what it has learned."""
    tensors = {name: f"h.{layer}.mlp.act.{name}" for name in source.config.learned}
    learned = {name: source.tensor(tensor).item() for name, tensor in tensors.items()}
    return Activation(source.config.activation_function, learned)


class RoundedWeights:
    """The weights of a checkpoint, every matrix rounded to nearest when it is asked for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.config = checkpoint.config

    def has(self, name: str) -> bool:
        return name in self.config.tensor_shapes()

    def tensor(self, name: str) -> Floats:
        """The float32 tensor `name`, heads padded to the size that the cache has."""
        return _pad_heads(self._checkpoint.tensor(name), name, self.config)

    def matrix(self, name: str, form: MatrixFormat) -> QuantizedMatrix:
        """The matrix `name` [out, in] in the format `form`."""
        return round_matrix(name, as_rows(name, self.tensor(name)), form)


def as_rows(name: str, weight: Floats) -> Floats:
    """[out, in], which tables are already."""
    return weight if is_table(name) else weight.T


def is_table(name: str) -> bool:
    return name in ("wte.weight", "lm_head.weight")


def round_matrix(name: str, rows: Floats, form: MatrixFormat) -> QuantizedMatrix:
    """`rows` [out, in] rounded to nearest; errors name the tensor."""
    try:
        return quantize_round_to_nearest(rows, form.bits, form.block_size)
    except ExportError as error:
        raise ExportError(f"{name}: {error}") from error


def _pad_heads(tensor: Floats, name: str, config: GPT2Config) -> Floats:
    heads, size, padded = config.n_head, config.head_size, cache_head_size(config)
    if padded == size or ".attn." not in name:
        return tensor
    extra = (0, padded - size)
    if ".c_attn." in name:  # outputs are [query | key | value] x heads x head size
        leading = tensor.shape[:-1]
        split = tensor.reshape(*leading, 3, heads, size)
        return np.pad(split, (*[(0, 0)] * (split.ndim - 1), extra)).reshape(*leading, -1)
    if name.endswith("c_proj.weight"):  # inputs are heads x head size
        rows = tensor.reshape(heads, size, -1)
        return np.pad(rows, ((0, 0), extra, (0, 0))).reshape(heads * padded, -1)
    return tensor
