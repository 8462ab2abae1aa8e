"""Keys and values of the tokens so far: [1, heads, tokens, head_size] a layer.

A cache knows how ONNX Runtime gets it as input and output; `length` is the number of tokens in it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gpt2_edge.files.manifest import Architecture, Graph, GraphNames


class Cache(Protocol):
    """What `session.py` needs of a cache."""

    length: int
    capacity: int

    def bind(self, binding: Any) -> None:
        """Bind past and present for the next step."""
        ...

    def advance(self, binding: Any, tokens: int) -> None:
        """Take in what the step wrote for `tokens` tokens."""
        ...

    def trim(self, length: int) -> None:
        """Forget all tokens from number `length` on."""
        ...


class SharedCache:
    """Buffers of fixed capacity, each bound as past and as present: no step copies them.

    GroupQueryAttention writes a step's keys and values behind those that are there. On a device
    other than the CPU the first step copies the empty buffers there, and they stay.
    """

    def __init__(
        self,
        architecture: Architecture,
        graph: Graph,
        buffers: list[npt.NDArray[Any]],
        device: str = "cpu",
    ) -> None:
        """buffers: of `shared_buffers`, or some neighbouring rows of each."""
        self.length = 0
        self.capacity = buffers[0].shape[2]
        self._device = device
        self._bound = self._on_device = False
        # The arrays are kept: before 1.24 an OrtValue does not keep its array alive.
        self._arrays = buffers
        self._values = [
            (past, present, ort.OrtValue.ortvalue_from_numpy(array))
            for (past, present), array in zip(
                _layer_names(architecture, graph.names), buffers, strict=True
            )
        ]

    def bind(self, binding: Any) -> None:
        if self._bound:
            return
        for past, present, value in self._values:
            binding.bind_ortvalue_input(past, value)
            if self._device == "cpu" or self._on_device:
                binding.bind_ortvalue_output(present, value)
            else:  # ONNX Runtime allocates it where its provider likes it
                binding.bind_output(present, self._device)
        # Elsewhere a part of the graph may run on the CPU, which gets a copy of what is bound, at
        # the moment when it is bound.
        self._bound = self._device == "cpu"

    def advance(self, binding: Any, tokens: int) -> None:
        self.length += tokens
        if self._device != "cpu" and not self._on_device:
            presents = binding.get_outputs()[-len(self._values) :]
            self._values = [
                (past, present, value)
                for (past, present, _), value in zip(self._values, presents, strict=True)
            ]
            self._arrays, self._on_device = [], True

    def trim(self, length: int) -> None:
        self.length = min(self.length, length)


def shared_buffers(
    architecture: Architecture, graph: Graph, rows: int, capacity: int
) -> list[npt.NDArray[Any]]:
    """Zeros [rows, heads, capacity, head_size] for each layer's keys, then its values.

    Parts of one array: from 4 MB on NumPy asks Linux for huge pages, with which a step of one token
    reads keys and values faster. A smaller one takes memory as it is written, page by page.
    """
    shape = (rows, architecture.num_heads, capacity, architecture.head_size)
    return list(np.zeros((2 * architecture.num_layers, *shape), graph.cache_dtype))


class ConcatCache:
    """The stock graphs' cache: every step returns past and new tokens in a new tensor."""

    def __init__(
        self, architecture: Architecture, graph: Graph, capacity: int, device: str = "cpu"
    ) -> None:
        self.length = 0
        self.capacity = capacity
        self._device = device
        shape = (1, architecture.num_heads, 0, architecture.head_size)
        empty = np.zeros(shape, graph.cache_dtype)
        self._names = _layer_names(architecture, graph.names)
        self._arrays = [empty] * len(self._names)  # kept alive for _values
        self._values = [ort.OrtValue.ortvalue_from_numpy(array) for array in self._arrays]

    def bind(self, binding: Any) -> None:
        for (past, present), value in zip(self._names, self._values, strict=True):
            binding.bind_ortvalue_input(past, value)
            binding.bind_output(present, self._device)

    def advance(self, binding: Any, tokens: int) -> None:
        # The presents were bound in the order of _names, behind the logits.
        self._values = binding.get_outputs()[-len(self._names) :]
        self.length += tokens

    def trim(self, length: int) -> None:
        if length < self.length:
            self._arrays = [np.array(value.numpy()[:, :, :length]) for value in self._values]
            self._values = [ort.OrtValue.ortvalue_from_numpy(array) for array in self._arrays]
            self.length = length


def _layer_names(architecture: Architecture, names: GraphNames) -> list[tuple[str, str]]:
    return [
        pair
        for layer in range(architecture.num_layers)
        for pair in zip(names.past(layer), names.present(layer), strict=True)
    ]
