"""One run of a graph of open sizes: inputs, cache and outputs are bound, and it computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gpt2_edge.graph.cache import Cache
from gpt2_edge.graph.loaded import LoadedGraph

Floats = npt.NDArray[np.float32]


class GraphRun:
    """The graph over some neighbouring rows of a cache, run after run.

    Nearly all runs feed one token to each row. What such runs are given stays bound between them,
    written anew in place, but for the mask, which grows: binding would take longer than the rest of
    what Python does for a step.

    logits: memory [rows or more, 1, vocab] that runs of other rows write to as well, one at a time;
    None for its own.
    """

    def __init__(
        self,
        session: LoadedGraph,
        cache: Cache,
        rows: int,
        capacity: int,
        logits: Floats | None = None,
    ) -> None:
        self._session, self._cache = session, cache
        self._names = session.package.manifest.graph.names
        self._onnx = session.onnx
        self._binding = session.onnx.io_binding()
        self._ones = np.ones((1, capacity), np.int64)
        self._positions = np.arange(capacity, dtype=np.int64)[None]
        context = session.package.manifest.architecture.context_length
        self._last_position = min(capacity, context) - 1
        self._token, self._position = np.zeros((rows, 1), np.int64), np.zeros((rows, 1), np.int64)
        # Another provider's device gets a copy of what is bound, at the moment when it is bound.
        self._stays_bound = session.provider == "cpu"
        self._bound_for_tokens = False
        # What is bound, and its memory: the binding keeps neither alive, nor does an OrtValue
        # before 1.24 keep its array.
        self._inputs: dict[str, tuple[ort.OrtValue, npt.NDArray[np.int64]]] = {}
        # Where one position's logits go, run after run; the first output that is bound.
        vocab = session.package.manifest.architecture.vocab_size
        # Always from the beginning, so that it is aligned alike whichever rows these are.
        self._logits = np.empty((rows, 1, vocab), np.float32) if logits is None else logits[:rows]
        self._logits_value = ort.OrtValue.ortvalue_from_numpy(self._logits)

    def __del__(self) -> None:
        # What lies on a device has to go before its session, or the process crashes (seen with
        # onnxruntime-webgpu 1.27); this may be the last that holds the session.
        for name in ("_cache", "_binding"):
            self.__dict__.pop(name, None)

    def one(self, ids: Sequence[int], past: int, keep: int = 1) -> Floats:
        """Feed `ids` to a lone row of `past` tokens; logits [keep, vocab] (keep 0: of all).

        A single position's are overwritten by the next run.
        """
        total = past + len(ids)
        mask = self._ones[:, :total]
        if len(ids) == 1:
            self._token[0, 0], self._position[0, 0] = ids[0], past
            only: Floats = self._run_tokens(mask)[0]
            return only
        one_position = keep == 1 and self._names.logits_to_keep is not None
        positions = self._positions[:, past:total]
        self._bind(np.array([ids], np.int64), positions, keep, one_position)
        self._bound_for_tokens = False
        logits: Floats = self._run(mask, len(ids), one_position)[0]
        return logits if one_position or not keep else logits[-keep:]

    def each(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats:
        """Feed one of `ids` [rows] to each row of `lengths` [rows] tokens; logits [rows, 1, vocab].

        They are overwritten by the next run.
        """
        total = int(lengths.max()) + 1
        self._token[:, 0] = ids
        # A row that is full takes part without a wish of its own: any position does.
        np.minimum(lengths, self._last_position, out=self._position[:, 0])
        mask = self._positions[:, :total] <= lengths[:, None]
        return self._run_tokens(mask.astype(np.int64))

    def _run_tokens(self, mask: npt.NDArray[np.int64]) -> Floats:
        """Feed `_token` at `_position` to each row."""
        if not self._bound_for_tokens:
            self._bind(self._token, self._position, 1, one_position=True)
            self._bound_for_tokens = self._stays_bound
        return self._run(mask, 1, one_position=True)

    def _bind(
        self,
        ids: npt.NDArray[np.int64],
        positions: npt.NDArray[np.int64],
        keep: int,
        one_position: bool,
    ) -> None:
        """Bind all but the mask and the cache."""
        names = self._names
        inputs = {names.input_ids: ids}
        if names.position_ids is not None:
            inputs[names.position_ids] = positions
        if names.logits_to_keep is not None:
            inputs[names.logits_to_keep] = np.array([keep], np.int64)
        for name, array in inputs.items():
            value = ort.OrtValue.ortvalue_from_numpy(array)
            self._binding.bind_ortvalue_input(name, value)
            self._inputs[name] = value, array
        if one_position:
            self._binding.bind_ortvalue_output(names.logits, self._logits_value)
        else:  # several positions are more than the graph declares, so ONNX Runtime allocates them
            self._binding.bind_output(names.logits)

    def _run(self, mask: npt.NDArray[np.int64], tokens: int, one_position: bool) -> Floats:
        """Run what is bound: `tokens` behind each row, which with them are as long as the mask."""
        self._binding.bind_cpu_input(self._names.attention_mask, mask)
        self._cache.bind(self._binding)
        try:
            self._onnx.run_with_iobinding(self._binding)
            logits = self._logits
            if not one_position:
                logits = self._binding.get_outputs()[0].numpy()
                if logits.shape[2:] != self._logits.shape[2:]:
                    raise ValueError(f"the logits are {list(logits.shape)}")
        except Exception as error:  # ONNX Runtime raises a family of its own
            raise self._session.run_error(error) from error
        self._cache.advance(self._binding, tokens)
        result: Floats = logits
        return result
