"""The key-value caches of several sequences, and a step of them through the graph.

A row is one sequence: the tokens that were fed, and their keys and values. `SharedRows` has all
rows in one buffer for each layer, so that they can take a step together; `SeparateRows` steps row
by row, for graphs and providers whose caches are not shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.decode.rows_protocol import Floats, Rows, common_prefix
from gpt2_edge.errors import ContextOverflowError
from gpt2_edge.graph.cache import SharedCache, shared_buffers
from gpt2_edge.graph.loaded import LoadedGraph
from gpt2_edge.graph.prefill import next_part
from gpt2_edge.graph.run import GraphRun
from gpt2_edge.graph.session import FedSequence, Session


def make_rows(session: Session, rows: int, capacity: int) -> Rows:
    """Empty rows for `session`, with room for `capacity` tokens each (at most the context)."""
    graph = session.package.manifest.graph
    if graph.cache == "shared" and session.device == "cpu" and session.step_limit is None:
        try:
            return SharedRows(session, rows, capacity)
        except MemoryError as error:
            raise session.memory_error(rows, capacity) from error
    return SeparateRows(lambda: session.start(capacity), rows)


class SharedRows:
    """Rows of one buffer [rows, heads, capacity, head_size] for each layer's keys and values.

    A run of neighbouring rows is a view of it, bound as past and as present: nothing is copied.
    Kernels take rows in pairs, and a lone one by other instructions: of several rows always an
    even number takes the step, so that a text does not depend on its neighbours.
    """

    def __init__(self, session: Session, rows: int, capacity: int) -> None:
        self._session = session
        manifest = session.package.manifest
        architecture = manifest.architecture
        self.capacity = min(capacity, architecture.context_length)
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        several = rows > 1
        # A full row takes part in its neighbours' step: what it writes goes behind its end.
        self._buffers = shared_buffers(
            architecture,
            manifest.graph,
            rows + rows % 2 if several else 1,
            self.capacity + several,
        )
        self._runs: dict[tuple[int, int], GraphRun] = {}
        self._prompt_runs: dict[int, GraphRun] = {}
        # One for the runs of all spans, which are a square of the rows.
        places = self._buffers[0].shape[0]
        self._logits = np.empty((places, 1, architecture.vocab_size), np.float32)

    def step(self, rows: Sequence[int], tokens: Sequence[Sequence[int]], keep: int = 1) -> Floats:
        """See Rows. Raises ContextOverflowError, and feeds nothing, where tokens do not fit."""
        for row, fed in zip(rows, tokens, strict=True):
            self._require_room(row, fed)
        if len(self.ids) == 1 or len(tokens[0]) > 1:
            (row,), (fed,) = rows, tokens
            logits = self._run(row, row + 1).one(fed, len(self.ids[row]), keep)
            self.ids[row].extend(fed)
            return logits[None]
        first, end = self._pairs(rows)
        ids = np.zeros(end - first, np.int64)
        for row, fed in zip(rows, tokens, strict=True):
            ids[row - first] = fed[0]
        lengths = [len(self.ids[row]) if row < len(self.ids) else 0 for row in range(first, end)]
        logits = self._run(first, end).each(ids, np.array(lengths))
        for row, fed in zip(rows, tokens, strict=True):
            self.ids[row].append(fed[0])
        wanted = [row - first for row in rows]
        return logits if wanted == list(range(end - first)) else logits[wanted]

    def span(self, rows: Sequence[int]) -> int:
        """See Rows."""
        first, end = self._pairs(rows)
        return end - first if len(self.ids) > 1 else 1

    def read(self, row: int, tokens: Sequence[int]) -> tuple[int, Floats | None]:
        """See Rows."""
        fed = self.ids[row]
        begin, end = next_part(len(fed), len(fed) + len(tokens))
        count = end - len(fed)
        part = [*fed[begin:], *tokens[:count]]
        self.trim(row, begin)
        logits = self._read(row, part)
        return count, logits if count == len(tokens) else None

    def _read(self, row: int, part: list[int]) -> Floats:
        """Logits [vocab] after `part` of a prompt, fed to `row`."""
        prompts = self._session.prompts
        if prompts is None:
            last: Floats = self.step([row], [part])[0, -1]
            return last
        self._require_room(row, part)
        if row not in self._prompt_runs:
            self._prompt_runs[row] = self._new_run(prompts, row, row + 1)
        logits: Floats = self._prompt_runs[row].one(part, len(self.ids[row]))[-1]
        self.ids[row].extend(part)
        return logits

    def trim(self, row: int, length: int) -> None:
        """See Rows."""
        if length < 0:
            raise ValueError(f"length is {length}; it must be at least 0")
        del self.ids[row][length:]

    def copy(self, source: int, target: int) -> None:
        """See Rows."""
        same = common_prefix(self.ids[source], self.ids[target])
        length = len(self.ids[source])
        if same < length:
            for buffer in self._buffers:
                buffer[target, :, same:length] = buffer[source, :, same:length]
        self.ids[target] = list(self.ids[source])

    def state(self, row: int) -> dict[str, npt.NDArray[Any]]:
        """Keys and values of `row`, [heads, tokens, head_size] for each layer, by name."""
        length = len(self.ids[row])
        return {
            name: np.ascontiguousarray(buffer[row, :, :length])
            for name, buffer in zip(self._state_names(), self._buffers, strict=True)
        }

    def restore(self, row: int, ids: list[int], state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Make `row` hold `ids` with the keys and values that `state` gave; ValueError if they
        are not of this graph.
        """
        shapes = self.state_shapes(len(ids))
        for (name, expected), buffer in zip(shapes.items(), self._buffers, strict=True):
            array = state.get(name)
            if array is None or array.shape != expected or array.dtype != buffer.dtype:
                raise ValueError(f"{name} is not {list(expected)} of {buffer.dtype}")
        for name, buffer in zip(self._state_names(), self._buffers, strict=True):
            buffer[row, :, : len(ids)] = state[name]
        self.ids[row] = list(ids)

    def state_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The names and shapes of what `state` gives of a row of so many tokens."""
        return {
            name: (buffer.shape[1], length, buffer.shape[3])
            for name, buffer in zip(self._state_names(), self._buffers, strict=True)
        }

    def _state_names(self) -> list[str]:
        layers = range(len(self._buffers) // 2)
        return [f"h.{layer}.{part}" for layer in layers for part in ("key", "value")]

    def _pairs(self, rows: Sequence[int]) -> tuple[int, int]:
        """The least run of whole pairs of rows that has all of `rows`."""
        return min(rows) // 2 * 2, max(rows) // 2 * 2 + 2

    def _run(self, first: int, end: int) -> GraphRun:
        run = self._runs.get((first, end))
        if run is None:
            run = self._runs[first, end] = self._new_run(self._session, first, end)
        return run

    def _new_run(self, graph: LoadedGraph, first: int, end: int) -> GraphRun:
        views = [buffer[first:end] for buffer in self._buffers]
        manifest = self._session.package.manifest
        cache = SharedCache(manifest.architecture, manifest.graph, views)
        return GraphRun(graph, cache, end - first, views[0].shape[2], self._logits)

    def _require_room(self, row: int, fed: Sequence[int]) -> None:
        if not 0 < len(fed) <= self.capacity - len(self.ids[row]):
            raise ContextOverflowError(
                f"{len(fed)} more tokens do not fit behind {len(self.ids[row])} in a cache of "
                f"{self.capacity}"
            )


class SeparateRows:
    """Rows that each have a sequence with a cache of its own, and take their steps one by one."""

    def __init__(self, start: Callable[[], FedSequence], rows: int) -> None:
        self._start = start
        self._sequences = [start() for _ in range(rows)]
        self.capacity = self._sequences[0].capacity

    @property
    def ids(self) -> list[list[int]]:
        """See Rows."""
        return [sequence.ids for sequence in self._sequences]

    def step(self, rows: Sequence[int], tokens: Sequence[Sequence[int]], keep: int = 1) -> Floats:
        """See Rows."""
        if len(rows) == 1:
            return self._sequences[rows[0]].feed(tokens[0], keep)[None]
        return np.stack([
            self._sequences[row].feed(fed, keep).copy()
            for row, fed in zip(rows, tokens, strict=True)
        ])  # fmt: skip

    def span(self, rows: Sequence[int]) -> int:
        """See Rows."""
        return len(rows)

    def read(self, row: int, tokens: Sequence[int]) -> tuple[int, Floats | None]:
        """See Rows."""
        return self._sequences[row].read(tokens)

    def trim(self, row: int, length: int) -> None:
        """See Rows."""
        self._sequences[row].trim(length)

    def copy(self, source: int, target: int) -> None:
        """See Rows: what the sequences do not have in common is fed again."""
        ids, there = self._sequences[source].ids, self._sequences[target]
        same = common_prefix(ids, there.ids)
        there.trim(same)
        if same < len(ids):
            there.prefill(ids[same:])
