"""One sequence fed through a graph of open sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ContextOverflowError
from gpt2_edge.graph.cache import Cache, ConcatCache, SharedCache, shared_buffers
from gpt2_edge.graph.loaded import LoadedGraph
from gpt2_edge.graph.prefill import PREFILL_CHUNK, next_part
from gpt2_edge.graph.run import GraphRun


class TokenSequence:
    """One sequence: the tokens fed so far and their cache. Not to be shared by threads."""

    def __init__(self, session: LoadedGraph, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; it must be at least 1")
        manifest = session.package.manifest
        self._session = session
        self._architecture = manifest.architecture
        self._graph = manifest.graph
        self._onnx = session.onnx
        self._step_limit, self._last_row_only = session.step_limit, session.last_row_only
        capacity = min(capacity, self._architecture.context_length)
        self._cache = _new_cache(session, capacity)
        self._run = GraphRun(session, self._cache, 1, capacity)
        self._prompt_run: GraphRun | None = None
        self.ids: list[int] = []

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
        logits = self._run.one(ids, self.length, keep)
        self.ids.extend(ids)
        return logits

    def prefill(
        self,
        ids: Sequence[int],
        chunk: int = PREFILL_CHUNK,
        should_stop: Callable[[], bool] | None = None,
    ) -> npt.NDArray[np.float32] | None:
        """Feed a prompt in chunks; logits [vocab] after its last token, None if stopped before.

        Whatever the chunks, the logits are the same, to the bit on one machine (prefill.py).
        """
        self._require_room(len(ids))
        left, logits = list(ids), None
        while left:
            if should_stop is not None and should_stop():
                return None
            count, logits = self.read(left, chunk)
            left = left[count:]
        return logits

    def read(
        self, ids: Sequence[int], chunk: int = PREFILL_CHUNK
    ) -> tuple[int, npt.NDArray[np.float32] | None]:
        """Feed the next part of a prompt: how many of `ids` it took, and logits [vocab] after the
        last of them, None where some are left. See next_part for what a part is.
        """
        begin, end = next_part(self.length, self.length + len(ids), chunk)
        count = end - self.length
        part = [*self.ids[begin:], *ids[:count]]
        self.trim(begin)
        logits = self._read(part)[-1]
        return count, logits if count == len(ids) else None

    def _read(self, part: list[int]) -> npt.NDArray[np.float32]:
        """`feed` for tokens of a prompt."""
        prompts = self._session.prompts
        if prompts is None or not isinstance(self._cache, SharedCache):
            return self.feed(part)
        self._require_room(len(part))
        if self._prompt_run is None:
            cache = self._cache.again(self._architecture, self._graph)
            self._prompt_run = GraphRun(prompts, cache, 1, self.capacity)
        logits = self._prompt_run.one(part, self.length)
        self._cache.length += len(part)
        self.ids.extend(part)
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


def _new_cache(session: LoadedGraph, capacity: int) -> Cache:
    manifest = session.package.manifest
    architecture, graph = manifest.architecture, manifest.graph
    if graph.cache != "shared":
        return ConcatCache(architecture, graph, capacity, session.device)
    buffers = shared_buffers(architecture, graph, 1, capacity)
    return SharedCache(architecture, graph, buffers, session.device)
