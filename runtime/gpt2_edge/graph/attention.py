"""Attention's weights of a whole text, from the package's graph with that output switched on."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gpt2_edge.errors import GenerationError, PackageError
from gpt2_edge.files.attention_graph import weights_name
from gpt2_edge.files.package_files import PackageFiles
from gpt2_edge.files.package_folder import Package
from gpt2_edge.graph.check import reason
from gpt2_edge.graph.providers import CPU
from gpt2_edge.graph.session_options import session_options
from gpt2_edge.untrusted import shown
from gpt2_edge.values import whole_number

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# How far a row may sum from one before it is made to. float16 has 11 bits, and a row up to a
# thousand weights.
_TOLERATED = 0.05
_MEMORY = Path("/proc/meminfo")
Floats = npt.NDArray[np.float32]


class AttentionGraph:
    """The graph of `package` that gives attention's weights; threads may share one.

    It is loaded by the first call of `weights`, on the CPU, and kept. Its weights are read from the
    package's own files, those of a large graph where they lie; with `verify` their hashes are
    compared again.
    """

    def __init__(self, package: Package, threads: int | None, verify: bool) -> None:
        self._package, self._threads, self._verify = package, threads, verify
        self._lock = threading.Lock()
        self._onnx: ort.InferenceSession | None = None

    @property
    def is_there(self) -> bool:
        """Whether the package's graph has the operator that can give them, in every layer."""
        return self._package.manifest.graph.cache == "shared"

    def weights(
        self, ids: Sequence[int], layer: int | None = None, head: int | None = None
    ) -> Floats:
        """The weights [layers, heads, tokens, tokens] among `ids`, which fit the context.

        layer, head: only of this one; the graph computes all of them, but no more is made of the
        others. Raises GenerationError for one that there is not, for a package that has none to
        give, where there is no memory, and for weights that are no shares; PackageError where the
        graph cannot be taken.
        """
        if not self.is_there:
            raise GenerationError(
                f"{self._package.folder} is a package of graph variant "
                f"{self._package.manifest.graph.flavour}, whose graph does not give attention's "
                "weights: export the checkpoint with --flavour fused"
            )
        architecture = self._package.manifest.architecture
        layers = _chosen("layer", layer, architecture.num_layers)
        heads = _chosen("head", head, architecture.num_heads)
        try:
            _require_memory(self._size(len(ids)))
            found = self._run(self._session(), ids)
            if not (layer is head is None):
                found = found[layers, heads].copy()  # the rest of it goes
            return self._shares(found)
        except MemoryError as error:
            raise self._memory_error(len(ids)) from error

    def _session(self) -> ort.InferenceSession:
        with self._lock:
            if self._onnx is None:
                self._onnx = self._load()
            return self._onnx

    def _load(self) -> ort.InferenceSession:
        package = self._package
        files = PackageFiles(package)
        graph = package.manifest.graph.file
        read = [graph]
        try:
            read += sorted(files.graphs()[graph].weight_files)
        finally:
            if self._verify:  # a wrong hash is the better message
                files.check_hashes(read)
        options = session_options(self._threads, beside=True)
        # Without it a run's memory, which grows with the square of the text, goes back at its end.
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(package.folder)
        )
        try:
            session = ort.InferenceSession(
                files.attention_graph(), options, providers=[CPU], enable_fallback=0
            )
            self._dtype = _DTYPES[session.get_outputs()[0].type]
        except (MemoryError, PackageError):
            raise
        except Exception as error:  # ONNX Runtime raises a family of its own
            raise self._failed("cannot be loaded", error) from error
        if self._verify:
            files.check_unchanged(read)
        return session

    def _run(self, session: ort.InferenceSession, ids: Sequence[int]) -> npt.NDArray[Any]:
        manifest, tokens = self._package.manifest, len(ids)
        architecture, names = manifest.architecture, manifest.graph.names
        layers, heads = range(architecture.num_layers), architecture.num_heads
        inputs: dict[str, npt.NDArray[Any]] = {
            names.input_ids: np.array([ids], np.int64),
            names.attention_mask: np.ones((1, tokens), np.int64),
        }
        if names.position_ids is not None:
            inputs[names.position_ids] = np.arange(tokens, dtype=np.int64)[None]
        empty = np.zeros((1, heads, 0, architecture.head_size), manifest.graph.cache_dtype)
        inputs |= {name: empty for layer in layers for name in names.past(layer)}
        result = np.empty((len(layers), 1, heads, tokens, tokens), self._dtype)
        # The arrays in `inputs` and `result` live as long as this: before 1.24 no value keeps its.
        values = {name: ort.OrtValue.ortvalue_from_numpy(a) for name, a in inputs.items()}
        outputs = [ort.OrtValue.ortvalue_from_numpy(result[layer]) for layer in layers]
        wanted = {entry.name for entry in session.get_inputs()}
        binding = session.io_binding()
        try:
            for name in wanted.intersection(values):
                binding.bind_ortvalue_input(name, values[name])
            for layer, value in enumerate(outputs):
                binding.bind_ortvalue_output(weights_name(layer), value)
            session.run_with_iobinding(binding)
        except MemoryError:
            raise
        except Exception as error:  # ONNX Runtime raises a family of its own
            if "allocate" in str(error) or "bad_alloc" in str(error):
                raise self._memory_error(tokens) from error
            raise self._failed("cannot be run for attention's weights", error) from error
        return result[:, 0]

    def _shares(self, weights: npt.NDArray[Any]) -> Floats:
        """`weights` as float32, each row summing to one, which float16 leaves it from a little."""
        shares: Floats = weights.astype(np.float32, copy=False)
        sums = shares.sum(-1, keepdims=True)
        # The first token has only itself to attend to.
        if not (
            abs(sums - 1).max() <= _TOLERATED and abs(shares[:, :, 0, 0] - 1).max() <= _TOLERATED
        ):
            raise GenerationError(
                f"{self._package.model_path} gives attention weights that are no shares of one; "
                "export the package again from a checkpoint whose weights are numbers"
            )
        shares /= sums
        return shares

    def _size(self, tokens: int) -> int:
        """Bytes that the weights among so many tokens take, and as much again to compute them."""
        architecture = self._package.manifest.architecture
        return 2 * 4 * architecture.num_layers * architecture.num_heads * tokens**2

    def _memory_error(self, tokens: int) -> GenerationError:
        return GenerationError(
            f"there is no memory for the attention of {tokens:,} tokens, which takes "
            f"{self._size(tokens) / 1e6:,.0f} MB; shorten the text"
        )

    def _failed(self, what: str, error: Exception) -> PackageError:
        return PackageError(
            f"{self._package.model_path} {what}: ONNX Runtime {ort.__version__} says "
            f"{reason(error)}"
        )


def _chosen(what: str, number: int | None, count: int) -> slice:
    if number is None:
        return slice(None)
    chosen = whole_number(number)
    if chosen is None or not 0 <= chosen < count:
        raise GenerationError(f"{what} is {shown(number, 20)}; it must be from 0 to {count - 1}")
    return slice(chosen, chosen + 1)


def _require_memory(size: int) -> None:
    """Raise MemoryError where `size` bytes are not to be had.

    Linux gives out more than there is, and ends the process that then uses it.
    """
    try:
        mmap.mmap(-1, size).close()
    except (OSError, OverflowError, ValueError) as error:
        raise MemoryError from error
    available = available_memory()
    if available is not None and size > available:
        raise MemoryError


def available_memory() -> int | None:
    """Bytes that Linux can give without taking them from others; None where it does not say."""
    try:
        lines = _MEMORY.read_text("ascii").splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        return None
