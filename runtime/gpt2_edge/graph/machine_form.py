"""The form that this machine runs a package in: ONNX Runtime's optimized graph over packed weights.

ONNX Runtime optimizes a graph and copies its weights into the layout of its kernels whenever it
loads one. Saved, and mapped from the file, that takes a third of the time, and memory that the
system can drop. The form is made once, a while after the package was first loaded, and lies in the
machine's cache (files/machine_cache.py), never in the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import onnxruntime as ort

from gpt2_edge.errors import PackageError
from gpt2_edge.files.cache_entry import Entry, Stored
from gpt2_edge.files.cache_folder import CacheUnusableError, free_space
from gpt2_edge.files.known_files import KnownFiles
from gpt2_edge.files.machine_cache import MachineCache, package_hash
from gpt2_edge.files.package_files import PackageFiles
from gpt2_edge.files.package_folder import Package
from gpt2_edge.graph.attention import available_memory
from gpt2_edge.graph.check import reason
from gpt2_edge.graph.later import Later
from gpt2_edge.graph.processor import processor
from gpt2_edge.graph.providers import CPU
from gpt2_edge.graph.session_options import config_entries, session_options

KIND = "onnxruntime"
_GRAPH, _WEIGHTS, _FAILED = "graph.onnx", "weights.bin", "failed.txt"
# Loading smaller graphs takes no time that anybody notices.
_SMALLEST = 16 << 20
# Seconds after loading in which the processor is the caller's: who waits for a text has it then.
_PATIENCE = 2.0
# Packing takes the weights' size in memory, half as much for what is saved, and pages of the file.
_MEMORY_TIMES, _FILE_TIMES = 4, 3


class MachineForm:
    """The form of `package` on the CPU in `cache`; of packages of fixed shapes there is none.

    loaded: whether `load` gave a session of it.
    """

    def __init__(self, package: Package, cache: MachineCache) -> None:
        self._package = package
        self._known = KnownFiles(cache, package)
        self._cache = cache
        self._entry = form_entry(package, cache, KIND)
        self._stored = self._entry.open()
        self.loaded = False

    @property
    def stored(self) -> Stored | None:
        """What the cache has; None where nothing, or the note that ONNX Runtime cannot save it."""
        return None if self._stored is None or self.failure is not None else self._stored

    @property
    def failure(self) -> str | None:
        """Why ONNX Runtime could not save this graph, if it could not."""
        if self._stored is None or _FAILED not in self._stored.record.files:
            return None
        try:
            text: str = (self._stored.folder / _FAILED).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return "unknown"
        return text

    def load(self, options: ort.SessionOptions) -> ort.InferenceSession | None:
        """A session of the form; None where there is none, or it does not load and goes."""
        stored = self.stored
        if stored is None:
            return None
        try:
            session = load_form(stored.folder, options)
        except Exception:  # ONNX Runtime raises a family of its own
            if stored.is_unchanged():
                self._entry.remove()
            self._stored = None
            return None
        self.loaded = stored.is_unchanged()
        if not self.loaded:
            self._stored = None
            return None
        return session

    def unknown(self, files: PackageFiles, names: Iterable[str]) -> list[str]:
        """Those of the package's files `names` whose hashes have to be compared.

        Where this form is run, the others are as they were when their hashes were the manifest's.
        """
        states = files.states(names)
        return self._known.unknown(states) if self.stored is not None else list(states)

    def keep_later(self, files: PackageFiles, names: Iterable[str]) -> None:
        """Note the files `names`, whose hashes are right, and make the form, if it is not there.

        Both in a while, in the background.
        """
        names = list(names)
        make = self._stored is None and self._size(names) >= _SMALLEST
        if self._cache.folder is None or not (make or self._known.unknown(files.states(names))):
            return

        def keep() -> None:
            with suppress(MemoryError):
                self._known.note(files.states(names), names)
                if make:
                    self.make(files, names)

        Later(keep, _PATIENCE)

    def make(self, files: PackageFiles, names: Iterable[str], insist: bool = False) -> bool:
        """Make the form from `files`, whose hashes were right; whether it is there then."""
        names = list(names)
        size, available = self._size(names), available_memory()
        if available is not None and available < _MEMORY_TIMES * size:
            self._cache.problem = "there is no memory to make it"
            return False

        def write(folder: Path) -> None:
            try:
                save_form(files.source(self._package.manifest.graph.file), folder)
                files.check_unchanged(names)
            except (OSError, MemoryError, PackageError) as error:
                raise CacheUnusableError(str(error)) from error
            except Exception as error:  # ONNX Runtime raises a family of its own
                for path in folder.iterdir():
                    path.unlink()
                # Of what may be otherwise the next time, nothing is noted.
                if "alloc" in str(error) or free_space(folder) < _FILE_TIMES * size:
                    raise CacheUnusableError(reason(error)) from error
                (folder / _FAILED).write_text(reason(error), "utf-8")

        made = self._entry.make(write, _FILE_TIMES * size, insist)
        self._stored = self._entry.open()
        return made

    def _size(self, names: Iterable[str]) -> int:
        """Bytes of the graph and its weights, which are `names` but for the tokenizer."""
        manifest = self._package.manifest
        return sum(manifest.files[name].bytes for name in names if name != manifest.tokenizer)


def optimize(package: Package, cache: MachineCache) -> tuple[Stored, bool]:
    """What `cache` has of `package`, checked to the last byte or made; whether it was made.

    Raises PackageError for a damaged package, one that has no such form, and where the cache takes
    nothing.
    """
    if not has_form(package):
        raise PackageError(
            f"{package.folder} has no hashes, or fixed shapes: nothing is kept of it"
        )
    form, files = MachineForm(package, cache), PackageFiles(package)
    names = {*package.runtime_files()}
    for graph in files.graphs().values():
        names |= graph.weight_files
    files.check_hashes(names)
    stored = form._entry.open(hashes=True)
    made = stored is None and form.make(files, names, insist=True)
    if form.failure is not None:
        raise PackageError(f"{package.model_path} cannot be saved by ONNX Runtime: {form.failure}")
    stored = form.stored
    if stored is None:
        raise PackageError(f"nothing of {package.folder} can be kept: {cache.problem}")
    form._known.note(files.states(names), names)
    return stored, made


def has_form(package: Package) -> bool:
    """Whether there is such a form of `package`: not of two graphs over the same weights, and not
    without hashes.
    """
    manifest = package.manifest
    return manifest.graph.static is None and all(file.sha256 for file in manifest.files.values())


def form_entry(package: Package, cache: MachineCache, kind: str, **matters: str) -> Entry:
    """The place in `cache` of what ONNX Runtime, on this processor, saves of `package`."""
    matters |= {
        "onnxruntime": f"{ort.__version__} {ort.get_build_info()}",
        "processor": processor(),
        "settings": json.dumps(config_entries(), sort_keys=True),
    }
    return cache.entry(package_hash(package), kind, matters, package.manifest.name)


def save_form(source: bytes | str, folder: Path, data_folder: Path | None = None) -> None:
    """Have ONNX Runtime write its form of the graph `source` into `folder`; raises what it raises.

    data_folder: where the weights of a graph lie that is given as bytes.
    """
    options = session_options(threads=1)
    options.optimized_model_filepath = str(folder / _GRAPH)
    prefix = "session.optimized_model_external_initializers"
    for key, value in (
        (f"{prefix}_file_name", _WEIGHTS),
        (f"{prefix}_min_size_in_bytes", "1024"),
        ("session.save_external_prepacked_constant_initializers", "1"),
    ):
        options.add_session_config_entry(key, value)
    if data_folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(data_folder)
        )
    ort.InferenceSession(source, options, providers=[CPU], enable_fallback=0)
    if {path.name for path in folder.iterdir()} != {_GRAPH, _WEIGHTS}:
        raise CacheUnusableError("this ONNX Runtime does not save weights beside its graph")


def load_form(folder: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """A session of what `save_form` wrote into `folder`; raises what ONNX Runtime does."""
    # It is optimized.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(folder / _GRAPH), options, providers=[CPU], enable_fallback=0)
