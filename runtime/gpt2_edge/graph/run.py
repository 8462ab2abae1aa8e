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
    """The graph over some neighbouring rows of a cache, run after run."""

    def __init__(self, session: LoadedGraph, cache: Cache, rows: int, capacity: int) -> None:
        self._session, self._cache = session, cache
        self._names = session.package.manifest.graph.names
        self._onnx = session.onnx
        self._binding = session.onnx.io_binding()
        self._ones = np.ones((1, capacity), np.int64)
        self._positions = np.arange(capacity, dtype=np.int64)[None]
        # Where one position's logits go, run after run; the first output that is bound.
        vocab = session.package.manifest.architecture.vocab_size
        self._logits = np.empty((rows, 1, vocab), np.float32)
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
        one_position = len(ids) == 1 or (keep == 1 and self._names.logits_to_keep is not None)
        logits = self._run(
            np.array([ids], np.int64),
            self._ones[:, :total],
            self._positions[:, past:total],
            keep,
            one_position,
        )[0]
        wanted: Floats = logits if one_position or not keep else logits[-keep:]
        return wanted

    def each(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats:
        """Feed one of `ids` [rows] to each row of `lengths` [rows] tokens; logits [rows, 1, vocab].

        They are overwritten by the next run.
        """
        total = int(lengths.max()) + 1
        mask = (self._positions[:, :total] <= lengths[:, None]).astype(np.int64)
        # A row that is full takes part without a wish of its own: any position does.
        positions = np.minimum(lengths, self._positions.shape[1] - 1)
        return self._run(ids[:, None], mask, positions[:, None], 1, True)

    def _run(
        self,
        ids: npt.NDArray[np.int64],
        mask: npt.NDArray[np.int64],
        positions: npt.NDArray[np.int64],
        keep: int,
        one_position: bool,
    ) -> Floats:
        names = self._names
        # Every array and OrtValue stays referenced until the run is over: ONNX Runtime's binding
        # does not keep the memory alive.
        inputs = {names.input_ids: ids, names.attention_mask: mask}
        if names.position_ids is not None:
            inputs[names.position_ids] = positions
        if names.logits_to_keep is not None:
            inputs[names.logits_to_keep] = np.array([keep], np.int64)
        values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        for name, value in values.items():
            self._binding.bind_ortvalue_input(name, value)
        if one_position:
            self._binding.bind_ortvalue_output(names.logits, self._logits_value)
        else:  # several positions are more than the graph declares, so ONNX Runtime allocates them
            self._binding.bind_output(names.logits)
        self._cache.bind(self._binding)
        try:
            self._onnx.run_with_iobinding(self._binding)
            logits = self._logits if one_position else self._binding.get_outputs()[0].numpy()
            if logits.shape[2:] != self._logits.shape[2:]:
                raise ValueError(f"the logits are {list(logits.shape)}")
        except Exception as error:  # ONNX Runtime raises a family of its own
            raise self._session.run_error(error) from error
        self._cache.advance(self._binding, ids.shape[1])
        result: Floats = logits
        return result
