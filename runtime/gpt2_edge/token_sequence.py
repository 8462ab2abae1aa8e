"""One sequence fed through a graph of open sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gpt2_edge.cache import Cache, ConcatCache, SharedCache
from gpt2_edge.errors import ContextOverflowError

if TYPE_CHECKING:
    from gpt2_edge.session import Session

# Long prompts are fed in chunks: attention's scores take heads x chunk x context floats, and a
# caller can stop between two chunks. Speed is flat from about 100 tokens on.
PREFILL_CHUNK = 256
# Kernels take rows in small groups, of which this is a multiple, and in tiles; a row that is left
# alone in its tile is computed by other instructions.
ROW_GROUP = 16
_ROW_TILE = 128


class TokenSequence:
    """One sequence: the tokens fed so far and their cache. Not to be shared by threads."""

    def __init__(self, session: Session, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; it must be at least 1")
        manifest = session.package.manifest
        self._session = session
        self._architecture = manifest.architecture
        self._graph = manifest.graph
        self._onnx = session.onnx
        self._step_limit, self._last_row_only = session.step_limit, session.last_row_only
        capacity = min(capacity, self._architecture.context_length)
        kind = SharedCache if self._graph.cache == "shared" else ConcatCache
        self._cache: Cache = kind(self._architecture, self._graph, capacity, session.device)
        self._binding = session.onnx.io_binding()
        self._mask = np.ones((1, capacity), np.int64)
        self._positions = np.arange(capacity, dtype=np.int64)[None]
        # Where one position's logits go, step after step; the first output that is bound.
        vocab = self._architecture.vocab_size
        self._logits = np.empty((1, vocab), np.float32)
        self._logits_value = ort.OrtValue.ortvalue_from_numpy(self._logits[None])
        self.ids: list[int] = []

    def __del__(self) -> None:
        # What lies on a device has to go before its session, or the process crashes (seen with
        # onnxruntime-webgpu 1.27); this may be the last that holds the session.
        for name in ("_cache", "_binding"):
            self.__dict__.pop(name, None)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return self._cache.length

    @property
    def capacity(self) -> int:
        """Tokens that the cache has room for."""
        return self._cache.capacity

    def feed(self, ids: Sequence[int], keep: int = 1) -> npt.NDArray[np.float32]:
        """Feed `ids` in one step; logits [keep, vocab] of the last `keep` positions (0: of all).

        A single row is overwritten by the next call. Raises ContextOverflowError if the ids do
        not fit the cache; nothing is fed then. Raises PackageError or ProviderError where the graph
        fails.
        """
        if keep < 0:
            raise ValueError(f"keep is {keep}; it must be at least 0")
        self._require_room(len(ids))
        if len(ids) > 1 and (self._step_limit or (self._last_row_only and keep != 1)):
            # Rows that are wanted come one by one; the tokens before them in one step if it may.
            together = max(len(ids) - keep, 0) if keep and not self._step_limit else 0
            if together:
                self.feed(ids[:together])
            singly = [self.feed([token_id]).copy() for token_id in ids[together:]]
            return np.concatenate(singly[-keep:])
        past, total = self.length, self.length + len(ids)
        names = self._graph.names
        # Every array and OrtValue stays referenced until the run is over: ONNX Runtime's binding
        # does not keep the memory alive.
        inputs = {
            names.input_ids: np.array([ids], np.int64),
            names.attention_mask: self._mask[:, :total],
        }
        if names.position_ids is not None:
            inputs[names.position_ids] = self._positions[:, past:total]
        if names.logits_to_keep is not None:
            inputs[names.logits_to_keep] = np.array([keep], np.int64)
        values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        for name, value in values.items():
            self._binding.bind_ortvalue_input(name, value)
        one_row = len(ids) == 1 or (keep == 1 and names.logits_to_keep is not None)
        if one_row:
            self._binding.bind_ortvalue_output(names.logits, self._logits_value)
        else:  # several rows are more than the graph declares, so ONNX Runtime allocates them
            self._binding.bind_output(names.logits)
        self._cache.bind(self._binding)
        try:
            self._onnx.run_with_iobinding(self._binding)
            rows = None if one_row else self._binding.get_outputs()[0].numpy()
            if rows is not None and rows.shape[2:] != self._logits.shape[1:]:
                raise ValueError(f"the logits are {list(rows.shape)}")
        except Exception as error:  # ONNX Runtime raises a family of its own
            raise self._session.run_error(error) from error
        self._cache.advance(self._binding, len(ids))
        self.ids.extend(ids)
        if rows is None:
            return self._logits
        logits: npt.NDArray[np.float32] = rows[0]
        return logits[-keep:] if keep else logits

    def prefill(
        self,
        ids: Sequence[int],
        chunk: int = PREFILL_CHUNK,
        should_stop: Callable[[], bool] | None = None,
    ) -> npt.NDArray[np.float32] | None:
        """Feed a prompt in chunks; logits [vocab] after its last token, None if stopped before.

        Whatever the chunks, the logits are the same, to the bit on one machine. ONNX Runtime's
        kernels take rows in small groups, and a remainder or a lone row by other instructions; in
        quantized graphs the difference in the last bit grows to a rounding step. So a chunk
        starts at a multiple of ROW_GROUP, and no row is alone behind others: where one would be,
        tokens before it are fed again, or before the others.
        """
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it must be at least 1")
        self._require_room(len(ids))
        logits = None
        for start in range(0, len(ids), chunk):
            if should_stop is not None and should_stop():
                return None
            part = list(ids[start : start + chunk])
            again = self.length % ROW_GROUP
            if len(part) + again == 1 and self.length:
                again = ROW_GROUP
            part = [*self.ids[self.length - again :], *part]
            self.trim(self.length - again)
            if len(part) > 1 and len(part) % _ROW_TILE == 1:
                early = len(part) - 1 - ROW_GROUP
                self.feed(part[:early])
                part = part[early:]
            logits = self.feed(part)[-1]
        return logits

    def trim(self, length: int) -> None:
        """Forget all tokens from number `length` on."""
        if length < 0:
            raise ValueError(f"length is {length}; it must be at least 0")
        self._cache.trim(length)
        del self.ids[length:]

    def _require_room(self, tokens: int) -> None:
        if not 0 < tokens <= self.capacity - self.length:
            raise ContextOverflowError(
                f"{tokens} more tokens do not fit behind {self.length} in a cache of "
                f"{self.capacity}"
            )
