"""A sequence fed through graphs of fixed shapes: the flavour `static`.

One graph takes a single token and returns its logits, the other a chunk of a prompt. Both get the
whole cache, with a bias that hides what is not filled yet, and return only the new keys and values,
which are written into the cache here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gpt2_edge.errors import ContextOverflowError
from gpt2_edge.graph.loaded import LoadedGraph

Floats = npt.NDArray[np.float32]
# What is added to the scores of keys that may not be seen; finite in float16, and exactly 0 behind
# the softmax.
_MASKED = -10000.0


class StaticSequence:
    """The tokens fed so far and their cache; the interface of TokenSequence."""

    def __init__(self, session: LoadedGraph, chunk: ort.InferenceSession, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; it must be at least 1")
        manifest = session.package.manifest
        assert manifest.graph.static is not None
        self._session = session
        shape, self._names = manifest.graph.static, manifest.graph.names
        self._past, self.capacity = shape.past, min(capacity, shape.past)
        architecture = manifest.architecture
        heads, size = architecture.num_heads, architecture.head_size
        self._layers = range(architecture.num_layers)
        # Keys lie transposed, [1, heads, head_size, past], so that no step has to transpose them.
        self._keys = [np.zeros((1, heads, size, self._past), np.float32) for _ in self._layers]
        self._values = [np.zeros((1, heads, self._past, size), np.float32) for _ in self._layers]
        self._step = _Graph(self, session.onnx, 1)
        self._chunk = _Graph(self, chunk, shape.chunk)
        self.ids: list[int] = []

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return len(self.ids)

    def feed(self, ids: Sequence[int], keep: int = 1) -> Floats:
        """Feed `ids`; logits [keep, vocab] of the last `keep` positions (0: of all).

        Raises ContextOverflowError if the ids do not fit the cache; nothing is fed then. Raises
        PackageError or ProviderError where the graph fails.
        """
        if keep < 0:
            raise ValueError(f"keep is {keep}; it must be at least 0")
        self._require_room(len(ids))
        first = len(ids) - keep if keep else 0
        for start in range(0, first, self._chunk.tokens):
            self._run(self._chunk, ids[start : min(start + self._chunk.tokens, first)])
        return np.stack([self._run(self._step, [token_id])[0, 0] for token_id in ids[first:]])

    def prefill(
        self,
        ids: Sequence[int],
        chunk: int | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Floats | None:
        """Feed a prompt; logits [vocab] after its last token, None if stopped before.

        A run takes as many tokens as the graph has room for, or `chunk` if that is less;
        should_stop is asked before each.
        """
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk is {chunk}; it must be at least 1")
        self._require_room(len(ids))
        size = min(chunk or self._chunk.tokens, self._chunk.tokens)
        last = len(ids) - 1
        for start in range(0, last, size):
            if should_stop is not None and should_stop():
                return None
            self._run(self._chunk, ids[start : min(start + size, last)])
        if should_stop is not None and should_stop():
            return None
        logits: Floats = self._run(self._step, ids[last:])[0, 0]
        return logits

    def read(self, ids: Sequence[int]) -> tuple[int, Floats | None]:
        """Feed the next part of a prompt: how many of `ids` it took, and logits [vocab] after the
        last of them, None where some are left.
        """
        if len(ids) == 1:
            return 1, self.prefill(ids)
        count = min(self._chunk.tokens, len(ids) - 1)
        self._run(self._chunk, ids[:count])
        return count, None

    def trim(self, length: int) -> None:
        """Forget all tokens from number `length` on."""
        if length < 0:
            raise ValueError(f"length is {length}; it must be at least 0")
        del self.ids[length:]

    def _require_room(self, tokens: int) -> None:
        if not 0 < tokens <= self.capacity - self.length:
            raise ContextOverflowError(
                f"{tokens} more tokens do not fit behind {self.length} in a cache of "
                f"{self.capacity}"
            )

    def _run(self, graph: _Graph, ids: Sequence[int]) -> Floats:
        """One run for up to graph.tokens ids; its first output."""
        start, count = self.length, len(ids)
        outputs = graph.run(ids, start)
        presents = outputs[-2 * len(self._layers) :]
        for layer in self._layers:
            self._keys[layer][..., start : start + count] = presents[2 * layer][..., :count]
            self._values[layer][:, :, start : start + count] = presents[2 * layer + 1][:, :, :count]
        self.ids.extend(ids)
        first: Floats = outputs[0]
        return first


class _Graph:
    """One of the two graphs, with its inputs: made once, changed in place."""

    def __init__(
        self, sequence: StaticSequence, session: ort.InferenceSession, tokens: int
    ) -> None:
        self.tokens = tokens
        self._onnx = session
        self._session = sequence._session
        self._past = sequence._past
        names = sequence._names
        assert names.position_ids is not None
        self._ids = np.zeros((1, tokens), np.int32)
        self._positions = np.zeros((1, tokens), np.int32)
        self._bias = np.zeros((1, 1, tokens, self._past + tokens), np.float32)
        self._bias[..., self._past :] = np.triu(np.full((tokens, tokens), _MASKED), 1)
        self._feeds = {
            names.input_ids: self._ids,
            names.position_ids: self._positions,
            names.attention_mask: self._bias,
        }
        wanted = {entry.name for entry in session.get_inputs()}
        for layer in sequence._layers:
            key, value = names.past(layer)
            self._feeds |= {key: sequence._keys[layer], value: sequence._values[layer]}
        self._feeds = {name: array for name, array in self._feeds.items() if name in wanted}
        presents = [name for layer in sequence._layers for name in names.present(layer)]
        has_head = any(entry.name == names.logits for entry in session.get_outputs())
        self._outputs = [names.logits, *presents] if has_head else presents

    def run(self, ids: Sequence[int], start: int) -> list[Floats]:
        """Outputs for `ids` at the positions from `start` on; missing ids are padded."""
        count = len(ids)
        self._ids[0, :count] = ids
        self._positions[0] = np.minimum(start + np.arange(self.tokens), self._past - 1)
        self._bias[..., :start] = 0
        self._bias[..., start : self._past] = _MASKED
        try:
            outputs: list[Floats] = self._onnx.run(self._outputs, self._feeds)
        except Exception as error:  # ONNX Runtime raises a family of its own
            raise self._session.run_error(error) from error
        return outputs
