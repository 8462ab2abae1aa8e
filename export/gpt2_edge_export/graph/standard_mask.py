"""What each token may see, in standard operators: a bias that is added to the scores.

Shapes in comments: B batch, S tokens of this step, P tokens in the cache, T = P + S.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from gpt2_edge_export.graph.onnx_builder import OnnxBuilder

# Added to the scores of what may not be seen: after the softmax exactly 0, and finite in float16,
# twice too.
MASKED = -10000.0


class Mask(ABC):
    """The biases of a graph's layers."""

    def __init__(self, builder: OnnxBuilder, whole: str) -> None:
        self._node, self._constant = builder.node, builder.weight
        self._biases: dict[int | None, str] = {None: whole}

    def bias(self, window: int | None) -> str:
        """The bias [B or 1, 1, S, T] of a layer in which a token sees the last `window`, or all."""
        if window not in self._biases:
            assert window is not None
            self._biases[window] = self._windowed(window)
        return self._biases[window]

    @abstractmethod
    def _windowed(self, window: int) -> str: ...


class PortableMask(Mask):
    """Of a mask [B, T] of 0 and 1, whose last S places are those of `ids`."""

    def __init__(self, builder: OnnxBuilder, mask: str, ids: str) -> None:
        super().__init__(builder, "bias")
        node, constant = self._node, self._constant
        zero, one = constant("zero", np.array(0)), constant("one", np.array(1))
        total = node("Gather", [node("Shape", [mask], "mask.shape"), one], "total")
        tokens = node("Gather", [node("Shape", [ids], "ids.shape"), one], "new_tokens")
        self._keys = node("Range", [zero, total, one], "key_numbers")
        first = node("Sub", [total, tokens], "first_query")
        queries = node("Range", [first, total, one], "query_numbers")
        self._queries = node(
            "Unsqueeze", [queries, constant("axis_1", np.array([1]))], "query_rows"
        )
        causal = node("LessOrEqual", [self._keys, self._queries], "causal")
        real = node("Greater", [mask, zero], "real")
        axes = constant("axes_1_2", np.array([1, 2]))
        real = node("Unsqueeze", [real, axes], "real.rows")
        self._seen = node("And", [causal, real], "seen")
        self._bias_where(self._seen, "bias")

    def _windowed(self, window: int) -> str:
        node, name = self._node, f"window_{window}"
        size = self._constant(name, np.array(window))
        before = node("Sub", [self._queries, size], f"{name}.before")
        near = node("Greater", [self._keys, before], f"{name}.near")
        return self._bias_where(node("And", [self._seen, near], f"{name}.seen"), f"{name}.bias")

    def _bias_where(self, seen: str, name: str) -> str:
        hidden, shown = (
            self._constant("masked", np.float32(MASKED)),
            self._constant("unmasked", np.float32(0)),
        )
        return self._node("Where", [seen, shown, hidden], name)


class StaticMask(Mask):
    """Of a bias [1, 1, S, T] that the client gives; the cache has its tokens by their positions.

    Windows are taken from the positions, in operators that NPUs have for floats.
    """

    def __init__(self, builder: OnnxBuilder, bias: str, positions: str, past: int) -> None:
        super().__init__(builder, bias)
        self._bias, self._positions, self._past = bias, positions, past
        self._distances = ""

    def _windowed(self, window: int) -> str:
        node, constant, name = self._node, self._constant, f"window_{window}"
        self._distances = self._distances or self._distances_of_keys()
        # How far a key lies outside, cut to 0 and 1: max(x, 0) - max(x - 1, 0).
        beyond = []
        for reach in (window - 1, window):
            least = constant(f"distance_{reach}", np.float32(reach))
            further = node("Sub", [self._distances, least], f"{name}.further_{reach}")
            beyond.append(node("Relu", [further], f"{name}.beyond_{reach}"))
        outside = node("Sub", beyond, f"{name}.outside")
        masked = constant("masked", np.float32(MASKED))
        hidden = node("Mul", [outside, masked], f"{name}.hidden")
        return node("Add", [self._bias, hidden], f"{name}.bias")

    def _distances_of_keys(self) -> str:
        """How many places each key lies before each query: float32 [1, S, T]."""
        node, constant = self._node, self._constant
        numbers = np.arange(self._past, dtype=np.float32)
        # No Cast of the positions, which not every mobile provider takes.
        queries = node(
            "Gather", [constant("places", numbers[:, None]), self._positions], "query_places"
        )  # [1, S, 1]
        new = node("Transpose", [queries], "new_places", perm=[0, 2, 1])
        past = constant("past_places", numbers[None, None])
        keys = node("Concat", [past, new], "key_places", axis=2)
        return node("Sub", [queries, keys], "distances")
