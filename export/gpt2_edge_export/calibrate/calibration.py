"""Quantizing layer by layer so that the model's outputs on a text change least.

Two streams of hidden states run through the layers: that of the original weights, and that of the
layers quantized so far. Each matrix is chosen for the inputs that it will really get, to give the
outputs that the original gives. Before it is rounded,

- the mean of its inputs moves into its bias, and per-channel scales move between it and what
  produces its inputs (the LayerNorm, or the value part of c_attn), so that no channel stands out
  where activations are rounded to 8 bits (Xiao et al. 2022, arXiv:2211.10438, section 4, whose
  scales these are; shifting as in Wei et al. 2023, arXiv:2304.09145);
- the weights are refitted to the inputs of the quantized stream (ridge regression towards the
  original ones), which makes up for part of what the layers before it lost: in what they compute,
  and, where they add to the residual stream, for half of what that stream has lost so far.

Then `gptq.py` rounds it, and what is left of the mean goes into the bias. In float32 all of that
is the same function, so a model whose channels were scaled apart gives the same package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.calibrate.effort import efforts
from gpt2_edge_export.calibrate.forward import Forward
from gpt2_edge_export.calibrate.gptq import InputCovariance, quantize_compensated
from gpt2_edge_export.calibrate.linear import Linear, refitted
from gpt2_edge_export.calibrate.rows import affine, centre, covariance, mean, reach
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.quantize.pack import QuantizedMatrix, dequantize
from gpt2_edge_export.quantize.recipe import MatrixFormat, Recipe
from gpt2_edge_export.quantize.weights import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    TensorSource,
    as_rows,
    input_width,
    round_matrix,
)

Floats = npt.NDArray[np.float32]

# How much of the outliers moves from activations to weights (the alpha of SmoothQuant). One scale
# for a whole row of activations wants more of it than one for every block, and so does a head in 8
# bits, whose weights have some to spare.
_ROW_MIGRATION, _BLOCK_MIGRATION = 0.6, 0.3
_HEAD_MIGRATION = {8: 0.6, 4: 0.35}
# The embedding reads the rows of a tied head as they are: this share of the mean variance is
# counted as an input of its own for every channel.
_EMBEDDING_SHARE = 0.3
# The share of the residual stream's error that a layer is asked to take back. All of it would fit
# the calibration text's noise: models/sample then does worse than with none.
_RESIDUAL_SHARE = np.float32(0.5)
_SWEEPS = 2  # of fitting scales and integers after GPTQ


@dataclass(frozen=True)
class CalibratedWeights:
    """A checkpoint whose matrices are quantized, its norms and biases changed to suit them."""

    config: GPT2Config
    _source: TensorSource
    _tensors: dict[str, Floats] = field(default_factory=dict)
    _matrices: dict[str, QuantizedMatrix] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        return name in self._tensors or name in self.config.tensor_shapes()

    def quantized(self, name: str) -> QuantizedMatrix | None:
        """The matrix `name` as the calibration left it; None if it has not quantized it."""
        return self._matrices.get(name)

    def tensor(self, name: str) -> Floats:
        """The float32 tensor `name`."""
        return self._tensors[name] if name in self._tensors else self._source.tensor(name)

    def matrix(self, name: str, form: MatrixFormat) -> QuantizedMatrix:
        """The matrix `name` [out, in]; the embedding of an untied model is rounded to nearest."""
        if name not in self._matrices:
            return round_matrix(name, as_rows(name, self._source.tensor(name)), form)
        return self._matrices[name]


def calibrate(
    source: TensorSource,
    recipe: Recipe,
    ids: npt.NDArray[np.int64],
    count: Callable[[float], object] = lambda effort: None,
) -> CalibratedWeights:
    """Quantize the matrices of `source` in the formats of `recipe` for the text `ids`.

    ids: [windows, seq]. `count` is told of every matrix that is done, by its share of `efforts`.
    """
    return _Calibration(source, recipe, ids, count).run()


class _Calibration:
    def __init__(
        self,
        source: TensorSource,
        recipe: Recipe,
        ids: npt.NDArray[np.int64],
        count: Callable[[float], object],
    ) -> None:
        self.source, self.recipe, self.config = source, recipe, source.config
        self.forward = Forward(self.config)
        self._count = count
        self._efforts = efforts(recipe, self.config, ids.size, ids.shape[1])
        self.tensors: dict[str, Floats] = {}
        self.matrices: dict[str, QuantizedMatrix] = {}
        self.original = self.forward.embed(source, ids)  # hidden states [windows, seq, H]
        self.quantized = self.original.copy()

    def run(self) -> CalibratedWeights:
        for layer in range(self.config.n_layer):
            self._attention(layer)
            self._mlp(layer)
        self._head()
        return CalibratedWeights(self.config, self.source, self.tensors, self.matrices)

    def _attention(self, layer: int) -> None:
        attn = f"h.{layer}.attn"
        linear = self._folded(f"h.{layer}.ln_1", f"{attn}.c_attn")
        packed = linear.outputs()
        attended = self.forward.attention(packed, layer)
        projection = Linear(*self._parameters(f"{attn}.c_proj"), original=attended)
        # Scores sum to one, so whatever shifts and scales the values does so to their mixture.
        shift, scale = projection.fold(self._migration(f"{attn}.c_proj"))
        width = len(shift)
        linear.weight[:, -width:] /= scale
        values = packed[..., -width:]
        values -= shift
        values /= scale
        packed = self._quantize(f"{attn}.c_attn", linear, packed)
        # What one step of an int8 cache stands for, channel by channel; it clips what is beyond.
        steps = reach(packed) / np.float32(127)
        self.tensors[f"{attn}.key_scale"] = steps[width : 2 * width]
        self.tensors[f"{attn}.value_scale"] = steps[2 * width :]
        projection.inputs = self.forward.attention(packed, layer)
        self._add_to_streams(f"{attn}.c_proj", projection)

    def _mlp(self, layer: int) -> None:
        mlp = f"h.{layer}.mlp"
        linear = self._folded(f"h.{layer}.ln_2", f"{mlp}.c_fc")
        outputs = linear.outputs()
        activated = self.forward.activation(self.source, outputs, layer)
        outputs = self._quantize(f"{mlp}.c_fc", linear, outputs)
        projection = Linear(*self._parameters(f"{mlp}.c_proj"), original=activated)
        projection.inputs = self.forward.activation(self.source, outputs, layer)
        self._add_to_streams(f"{mlp}.c_proj", projection)

    def _head(self) -> None:
        """The table: head, and embedding where they are tied."""
        config = self.config
        name = self.forward.head
        form = self.recipe.format(name, config.n_embd)
        if form.quantized:
            weight, bias = self._norm("ln_f")
            head = Linear(
                self.source.tensor(name).T,
                np.zeros(config.vocab_size, np.float32),
                self.forward.norm(self.original, weight, bias),
            )
            shift, scale = head.fold(_HEAD_MIGRATION[form.bits])
            self.tensors["ln_f.weight"] = weight / scale
            self.tensors["ln_f.bias"] = (bias - shift) / scale
            self.tensors[HEAD_BIAS] = shift @ self.source.tensor(name).T
            own = covariance(
                self.forward.norm(
                    self.quantized, self.tensors["ln_f.weight"], self.tensors["ln_f.bias"]
                )
            )
            if config.tie_word_embeddings:
                self.tensors[EMBEDDING_SCALE] = np.float32(1) / scale
                # Errors of the embedding count in its own units, which are scaled back.
                share = _EMBEDDING_SHARE * float(np.mean(np.diag(own) * scale**2))
                own += np.diag(share / scale**2).astype(np.float32)
            self.matrices[name] = self._rounded(name, head.weight, InputCovariance(own), form)
        self._count(self._efforts[name])

    def _rounded(
        self, name: str, weight: Floats, inputs: InputCovariance, form: MatrixFormat
    ) -> QuantizedMatrix:
        """`weight` [in, out] quantized for `inputs`."""
        if not form.divides(len(weight)):  # blocks padded with zeros: for odd little models
            return round_matrix(name, weight.T, form)
        sweeps = _SWEEPS if form.bits == 4 else 0  # in 8 bits they gain nothing
        return quantize_compensated(weight.T, inputs, form.bits, form.block_size, sweeps)

    def _norm(self, name: str) -> tuple[Floats, Floats]:
        return self.source.tensor(f"{name}.weight"), self.source.tensor(f"{name}.bias")

    def _parameters(self, name: str) -> tuple[Floats, Floats]:
        weight, bias = (self.source.tensor(f"{name}.{kind}") for kind in ("weight", "bias"))
        return weight, bias

    def _format(self, name: str) -> MatrixFormat:
        weight = f"{name}.weight"
        return self.recipe.format(weight, input_width(weight, self.config))

    def _migration(self, name: str) -> float:
        return _ROW_MIGRATION if self._format(name).by_row else _BLOCK_MIGRATION

    def _folded(self, norm: str, name: str) -> Linear:
        """The linear layer behind a LayerNorm, outliers of its inputs folded into both."""
        norm_weight, norm_bias = self._norm(norm)
        original = self.forward.norm(self.original, norm_weight, norm_bias)
        linear = Linear(*self._parameters(name), original=original)
        shift, scale = linear.fold(self._migration(name))
        self.tensors[f"{norm}.weight"] = norm_weight / scale
        self.tensors[f"{norm}.bias"] = (norm_bias - shift) / scale
        linear.inputs = self.forward.norm(
            self.quantized, self.tensors[f"{norm}.weight"], self.tensors[f"{norm}.bias"]
        )
        return linear

    def _add_to_streams(self, name: str, linear: Linear) -> None:
        outputs = linear.outputs()
        wanted = self.original - self.quantized
        wanted *= _RESIDUAL_SHARE
        wanted += outputs
        self.original += outputs
        self.quantized += self._quantize(name, linear, wanted, more=True)

    def _quantize(self, name: str, linear: Linear, wanted: Floats, more: bool = False) -> Floats:
        """Quantize `linear` so that it gives `wanted`; what it gives then.

        more: whether that is more than the original gives. Inputs and `wanted` are used up.
        """
        form = self._format(name)
        input_mean, wanted_mean = centre(linear.inputs), mean(wanted)
        weight = linear.weight
        if form.quantized:
            own = covariance(linear.inputs)
            compensation = InputCovariance(own)  # which looks whether all of it is finite
            weight = refitted(weight, own, linear.covariance_with(wanted, more))
            matrix = self._rounded(name, weight, compensation, form)
            self.matrices[f"{name}.weight"] = matrix
            weight = dequantize(matrix).T
        else:
            self.tensors[f"{name}.weight"] = weight
        self.tensors[f"{name}.bias"] = wanted_mean - input_mean @ weight
        self._count(self._efforts[f"{name}.weight"])
        return affine(linear.inputs, weight, wanted_mean)
