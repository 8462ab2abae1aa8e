"""The graph that reads prompts on this machine, where its cache has one.

MatMulNBits computes 32 rows and more at a third of what integer products of whole matrices reach
(files/prompt_graph.py). Their weights, twice the size of 4 bits, are made by `gpt2-edge optimize`
and lie in the machine's cache, packed and mapped: the system can drop them. All tokens of a prompt
go through that graph, down to a single one, however they come; so logits do not depend on how a
prompt is fed. What is written, drafts, scores and attention stay with the package's own graph.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from gpt2_edge.errors import PackageError
from gpt2_edge.files.cache_entry import Entry, Stored
from gpt2_edge.files.cache_folder import CacheUnusableError
from gpt2_edge.files.machine_cache import MachineCache
from gpt2_edge.files.package_files import PackageFiles
from gpt2_edge.files.package_folder import Package
from gpt2_edge.files.prompt_graph import products
from gpt2_edge.graph.attention import available_memory
from gpt2_edge.graph.background import Beside
from gpt2_edge.graph.cache import SharedCache, shared_buffers
from gpt2_edge.graph.check import reason
from gpt2_edge.graph.int8_overflow import signed_weights_overflow
from gpt2_edge.graph.loaded import LoadedGraph
from gpt2_edge.graph.machine_form import form_entry, has_form, load_form, save_form
from gpt2_edge.graph.providers import CPU
from gpt2_edge.graph.run import GraphRun
from gpt2_edge.graph.session_options import session_options

KIND = "prompts"
_RULE = "2"  # changes with what files/prompt_graph.py writes
_NOTE = "not-used.txt"
# The graph in bytes twice, ONNX Runtime's copy, and the packed one; of the file the same.
_MEMORY_TIMES, _FILE_TIMES = 8, 5
# ONNX files end at 2 GB.
_LARGEST = 900 << 20
# It is not loaded where it would take more than this part of the memory that is free.
_SHARE = 4
_TRIED_TOKENS, _ROUNDS, _GAIN = 128, 5, 1.1
# Standard deviations that a logit may differ by, as in trial.py.
_TOLERATED = 0.25


class PromptForm:
    """The graph for prompts of `package` in `cache`, which a thread loads."""

    def __init__(self, package: Package, cache: MachineCache, threads: int | None) -> None:
        self._package, self._threads = package, threads
        self._entry = _entry(package, cache)
        self._graph: LoadedGraph | None = None
        stored = self._entry.open() if has_form(package) else None
        if stored is None or _NOTE in stored.record.files or not _fits(stored):
            self._loading = None
        else:
            self._loading = Beside(lambda: self._load(stored))

    @property
    def graph(self) -> LoadedGraph | None:
        """The loaded graph; None where the cache has none, or where it did not load."""
        if self._loading is not None:
            self._loading.result()
        return self._graph

    def _load(self, stored: Stored) -> None:
        try:
            graph = _loaded(self._package, _session(stored.folder, self._threads))
        except Exception:  # ONNX Runtime raises a family of its own
            if stored.is_unchanged():
                self._entry.remove()
            return
        if stored.is_unchanged():
            self._graph = graph


def optimize_prompts(
    package: Package, cache: MachineCache, least_gain: float = _GAIN
) -> tuple[Stored | None, str]:
    """What `cache` has for the prompts of `package`, made where it is missing; None, with the
    reason, where they would not be read `least_gain` times as fast.

    Raises PackageError for a damaged package and where the cache takes nothing.
    """
    files, graph = PackageFiles(package), package.manifest.graph
    described = files.graphs()[graph.file]
    if not (has_form(package) and graph.cache == "shared" and products(described.operators)):
        return None, "its graph has no matrices in blocks of 4 or 8 bits"
    size = sum(package.manifest.files[name].bytes for name in package.graph_files)
    if size > _LARGEST:
        return None, f"it is larger than {_LARGEST / 1e6:,.0f} MB"
    names = {*package.runtime_files(), *described.weight_files}
    files.check_hashes(names)
    entry = _entry(package, cache)
    stored = entry.open(hashes=True)
    if stored is None:
        available = available_memory()
        if available is not None and available < _MEMORY_TIMES * size:
            return None, f"making it takes {_MEMORY_TIMES * size / 1e6:,.0f} MB of memory"

        def write(folder: Path) -> None:
            try:
                edited = files.prompt_graph(unsigned=signed_weights_overflow())
                save_form(edited, folder, package.folder)
                files.check_unchanged(names)
                note = _compared(package, files, folder, least_gain)
            except (OSError, MemoryError, PackageError) as error:
                raise CacheUnusableError(str(error)) from error
            except Exception as error:  # ONNX Runtime raises a family of its own
                note = f"ONNX Runtime cannot save it: {reason(error)}"
            if note:
                for path in folder.iterdir():
                    path.unlink()
                (folder / _NOTE).write_text(note, "utf-8")

        if not entry.make(write, _FILE_TIMES * size, insist=True):
            raise PackageError(f"nothing of {package.folder} can be kept: {cache.problem}")
        stored = entry.open()
    if stored is None:
        raise PackageError(f"nothing of {package.folder} can be kept: {cache.problem}")
    if _NOTE in stored.record.files:
        return None, (stored.folder / _NOTE).read_text("utf-8", "replace")
    return stored, ""


def _entry(package: Package, cache: MachineCache) -> Entry:
    return form_entry(package, cache, KIND, rule=_RULE)


def _fits(stored: Stored) -> bool:
    available = available_memory()
    return available is None or stored.record.bytes * _SHARE <= available


def _session(folder: Path, threads: int | None) -> ort.InferenceSession:
    return load_form(folder, session_options(threads, beside=True))


def _loaded(package: Package, session: ort.InferenceSession) -> LoadedGraph:
    graph = LoadedGraph()
    graph.package, graph.onnx = package, session
    graph.provider = graph.device = "cpu"
    graph.step_limit, graph.last_row_only = None, False
    return graph


def _compared(package: Package, files: PackageFiles, folder: Path, least_gain: float) -> str:
    """Why the graph in `folder` is not to be used, it is no faster or wrong; empty if it is."""
    own = ort.InferenceSession(
        files.source(package.manifest.graph.file),
        session_options(None, beside=True),
        providers=[CPU],
    )
    architecture = package.manifest.architecture
    tokens = min(_TRIED_TOKENS, architecture.context_length)
    ids = np.random.default_rng(0).integers(0, architecture.vocab_size, tokens).tolist()
    runs = []
    for session in (own, _session(folder, None)):
        buffers = shared_buffers(architecture, package.manifest.graph, 1, tokens)
        cache = SharedCache(architecture, package.manifest.graph, buffers)
        runs.append(GraphRun(_loaded(package, session), cache, 1, tokens))
    logits = [run.one(ids, 0).copy() for run in runs]
    if not np.abs(logits[0] - logits[1]).max() <= _TOLERATED * logits[0].std():  # NaN is not
        return "its logits are other ones"
    seconds: list[list[float]] = [[], []]
    for _ in range(_ROUNDS):
        for run, taken in zip(runs, seconds, strict=True):
            started = time.perf_counter()
            run.one(ids, 0)
            taken.append(time.perf_counter() - started)
    gain = min(seconds[0]) / min(seconds[1])
    return "" if gain >= least_gain else f"it would read prompts at {gain:.2f} times the speed"
