"""The float32 model that a package is measured against, layer by layer.

No graph of it is written: one layer's weights are in memory at a time, whatever the model's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.calibrate.forward import Forward
from gpt2_edge_export.quantize.weights import TensorSource

Floats = npt.NDArray[np.float32]

_WINDOWS_AT_ONCE = 4  # whose activations are in memory beside all hidden states


class FloatModel:
    """Logits of float32 weights for windows of a text."""

    def __init__(self, source: TensorSource) -> None:
        self._source = source
        self._forward = Forward(source.config)
        self.vocab_size = source.config.vocab_size
        self.context_length = source.config.n_positions

    def logits(
        self,
        windows: Sequence[Sequence[int]],
        rows: int,
        count: Callable[[float], object] = lambda share: None,
    ) -> Iterator[Floats]:
        """Logits [at most `rows`, vocab] for all tokens of each window in turn.

        All layers run before the first are given; `count` is told of each window's share of a
        layer.
        """
        forward, source = self._forward, self._source
        groups = [np.array(group, np.int64) for group in _alike(windows)]
        hidden = [forward.embed(source, group) for group in groups]
        for layer in range(source.config.n_layer):
            kept = _Kept(source)
            for number, group in enumerate(hidden):
                hidden[number] = forward.layer(kept, group, layer)
                count(len(group) / source.config.n_layer)
        head = source.tensor(forward.head).T
        for group in hidden:
            for window in group:
                normed = forward.normed(source, window, "ln_f")
                for start in range(0, len(normed), rows):
                    yield normed[start : start + rows] @ head


class _Kept:
    """Tensors that are read once, for as long as this lasts."""

    def __init__(self, source: TensorSource) -> None:
        self.config, self.has = source.config, source.has
        self.tensor = cache(source.tensor)


def _alike(windows: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Groups of windows of one length, in their order."""
    group: list[Sequence[int]] = []
    for window in windows:
        if group and (len(group) == _WINDOWS_AT_ONCE or len(window) != len(group[0])):
            yield group
            group = []
        group.append(window)
    if group:
        yield group
