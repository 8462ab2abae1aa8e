"""Weights of nothing but zeros, from which the size of a model file follows before any work."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.checkpoint.checkpoint import Checkpoint
from gpt2_edge_export.quantize import EMBEDDING_SCALE, HEAD_BIAS, RoundedWeights, cache_head_size


class BlankWeights(RoundedWeights):
    """Zeros in the shapes that the calibrated weights of `checkpoint` have."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        config = checkpoint.config
        shapes = config.tensor_shapes()
        names = {name: name for name in shapes}
        super().__init__(dataclasses.replace(checkpoint, _reader=_Zeros(shapes), _names=names))
        cache = (config.n_head * cache_head_size(config),)
        self._added: dict[str, tuple[int, ...]] = {HEAD_BIAS: (config.vocab_size,)}
        if config.tie_word_embeddings:
            self._added[EMBEDDING_SCALE] = (config.n_embd,)
        for layer in range(config.n_layer):
            self._added[f"h.{layer}.attn.key_scale"] = cache
            self._added[f"h.{layer}.attn.value_scale"] = cache

    def has(self, name: str) -> bool:
        return name in self._added or super().has(name)

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        if name in self._added:
            return np.zeros(self._added[name], np.float32)
        return super().tensor(name)


class _Zeros:
    """A reader of tensors that are all zeros."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.faults: dict[str, str] = {}

    def read(self, name: str) -> npt.NDArray[np.float32]:
        return np.zeros(self.shapes[name], np.float32)

    def in_file(self, name: str, shape: tuple[int, ...] = ()) -> tuple[str, tuple[int, ...]]:
        return name, shape

    def same(self, name: str, other: str) -> bool:
        return self.shapes[name] == self.shapes[other]
