"""What each matrix costs in 4 bits, and the recipes that follow from it.

The costs are measured one matrix at a time and added up: an approximation that `mixed.py` corrects
by measuring the packages it tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.calibrate import CalibratedWeights, calibrate, efforts
from gpt2_edge_export.calibrate.effort import forward_effort
from gpt2_edge_export.calibrate.forward import Forward
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.measure.quality import Softmax
from gpt2_edge_export.measure.report import matrix_shape
from gpt2_edge_export.progress import progress_bar
from gpt2_edge_export.quantize import (
    MatrixFormat,
    Recipe,
    dequantize,
    input_width,
)
from gpt2_edge_export.quantize.recipe import MATRICES
from gpt2_edge_export.quantize.weights import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    TensorSource,
    as_rows,
)

Floats = npt.NDArray[np.float32]

# Both take blocks, so that the calibration folds the same scales into the norms for either; but
# for the head's, which goes with its table.
_FINE = Recipe("fine", MatrixFormat(8, 32), MatrixFormat(8, 32))
_COARSE = Recipe("coarse", MatrixFormat(4, 32), MatrixFormat(4, 64))
_WINDOWS = 2  # of the calibration text, on which sensitivities are measured
_TABLE, _HEAD = _TABLES = ("wte.weight", "lm_head.weight")
_WITH_HEAD = ("ln_f.weight", "ln_f.bias", HEAD_BIAS, EMBEDDING_SCALE)


@dataclass(frozen=True)
class Sensitivity:
    """What taking the matrix `name` to 4 bits costs (KL in nats per token) and saves (bytes)."""

    name: str
    kl: float
    saved: int


@dataclass(frozen=True)
class Candidate:
    """One recipe of the frontier: `coarse` matrices in 4 bits, all others in 8.

    predicted_kl: sum of the single costs, activations not counted. measured_kl: where it was tried.
    """

    coarse: tuple[str, ...]
    bytes: int
    predicted_kl: float
    measured_kl: float | None = None

    def recipe(self) -> Recipe:
        table = (_COARSE if set(_TABLES) & set(self.coarse) else _FINE).table
        special = {name: _COARSE.linear for name in self.coarse if name not in _TABLES}
        return Recipe("mixed", table, _FINE.linear, special)


def frontier(sensitivities: Sequence[Sensitivity], config: GPT2Config) -> list[Candidate]:
    """Recipes from all in 8 bits to all in 4, the matrices with the cheapest bytes first."""
    size = sum(
        _FINE.format(name, input_width(name, config)).bytes(*matrix_shape(name, config))
        for name in matrix_names(config)
    )
    kl = 0.0
    candidates = [Candidate((), size, kl)]
    for step in sorted(sensitivities, key=lambda s: s.kl / s.saved):
        size, kl = size - step.saved, kl + step.kl
        candidates.append(Candidate((*candidates[-1].coarse, step.name), size, kl))
    return candidates


def matrix_names(config: GPT2Config) -> list[str]:
    """Every matrix whose bits are chosen; an untied embedding goes with its head."""
    layers = range(config.n_layer)
    linear = [f"h.{layer}.{matrix}.weight" for layer in layers for matrix in MATRICES]
    return [name for name in config.tensor_shapes() if name in _TABLES] + linear


def sensitivities(source: TensorSource, ids: npt.NDArray[np.int64]) -> list[Sensitivity]:
    """What each matrix costs in 4 bits while all others have 8, on windows `ids` [windows, seq]."""
    config = source.config
    names = matrix_names(config)
    part = ids[:_WINDOWS]
    later = {name: _layers_from(name, config) for name in names}  # what is computed again
    predictions = {
        name: forward_effort(config, part.size, layers) for name, layers in later.items()
    }
    effort = sum(predictions.values())
    for recipe in (_FINE, _COARSE):
        effort += sum(efforts(recipe, config, ids.size, ids.shape[1]).values())
    with progress_bar(effort, "sensitivity of each matrix") as bar:
        fine = calibrate(source, _FINE, ids, bar.update)
        coarse = calibrate(source, _COARSE, ids, bar.update)
        model = _Model(config, part)
        expected = model.predict(_Mixture(fine, coarse, set()), 0)
        found = []
        for name in names:
            changed = set(_TABLES) if name == _HEAD else {name}
            mixture = _Mixture(fine, coarse, changed)
            kl = float(
                np.mean(expected.divergence(model.predict(mixture, config.n_layer - later[name])))
            )
            saved = sum(_bytes_saved(each, config) for each in changed)
            found.append(Sensitivity(name, max(kl, 0.0), saved))
            bar.update(predictions[name])
    return [s for s in found if not (s.name == _TABLE and not config.tie_word_embeddings)]


def _layers_from(name: str, config: GPT2Config) -> int:
    """How many layers a change of the matrix `name` reaches."""
    return config.n_layer - (int(name.split(".")[1]) if name.startswith("h.") else 0)


def _bytes_saved(name: str, config: GPT2Config) -> int:
    width, shape = input_width(name, config), matrix_shape(name, config)
    return _FINE.format(name, width).bytes(*shape) - _COARSE.format(name, width).bytes(*shape)


class _Mixture:
    """`fine` weights as floats, but for some matrices and what goes with them, which are `coarse`.

    That is a matrix's bias, and a head's norm, bias and scale of the embedding.
    """

    def __init__(
        self, fine: CalibratedWeights, coarse: CalibratedWeights, changed: set[str]
    ) -> None:
        self.config = fine.config
        self._fine, self._coarse, self._changed = fine, coarse, changed

    def has(self, name: str) -> bool:
        return self._fine.has(name)

    def tensor(self, name: str) -> Floats:
        if name in _WITH_HEAD:
            matrix = _TABLE if self.config.tie_word_embeddings else _HEAD
        else:
            matrix = f"{name.removesuffix('.bias')}.weight" if name.endswith(".bias") else name
        weights = self._coarse if matrix in self._changed else self._fine
        quantized = weights.quantized(name)
        if quantized is None:
            return weights.tensor(name)
        return as_rows(name, dequantize(quantized))


class _Model:
    """Forward passes that start at a layer, with the hidden states before it kept."""

    def __init__(self, config: GPT2Config, ids: npt.NDArray[np.int64]) -> None:
        self._forward = Forward(config)
        self._config, self._ids = config, ids
        self._before: list[Floats] = []  # hidden states before each layer, all in 8 bits

    def predict(self, weights: _Mixture, start: int) -> Softmax:
        """Probabilities after every token; layers before `start` are taken as unchanged."""
        first = not self._before
        hidden = self._before[start] if start else self._forward.embed(weights, self._ids)
        for layer in range(start, self._config.n_layer):
            if first:
                self._before.append(hidden)
            hidden = self._forward.layer(weights, hidden, layer)
        return Softmax(self._forward.logits(weights, hidden))
