"""Is the graph in a package the one that its manifest describes?

Answered from the file, before ONNX Runtime loads it. What a file leaves open, `try_graph` finds out
with one step.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnxruntime as ort

from gpt2_edge.errors import PackageError
from gpt2_edge.files.manifest import GraphNames
from gpt2_edge.files.onnx_file import OnnxFile, Shape, TensorInfo
from gpt2_edge.files.package_folder import Package
from gpt2_edge.untrusted import shown

ATTENTION = "GroupQueryAttention"  # the operator that writes into a shared cache
_NO_MEMORY = re.compile("Failed to allocate memory for requested buffer of size ([0-9]{1,20})")
_OPEN = -1  # a size that every run chooses
Sizes = tuple[int | None, ...]  # None: any


def check_onnxruntime(package: Package) -> None:
    """Raise PackageError if this ONNX Runtime is older than the package needs."""
    minimum = package.manifest.graph.min_onnxruntime
    if onnxruntime_is_before(minimum):
        raise PackageError(
            f"{package.folder} needs ONNX Runtime {minimum} or later, this is {ort.__version__}: "
            "pip install --upgrade onnxruntime"
        )


def onnxruntime_is_before(version: str) -> bool:
    """Whether this ONNX Runtime is older than `version`, such as "1.31"."""
    return _numbers(ort.__version__) < _numbers(version)


def check_graph(package: Package, file: str, graph: OnnxFile) -> None:
    """Raise PackageError unless the graph in `file` takes and gives what the manifest says."""
    _Check(package, file, graph).run()


class _Check:
    def __init__(self, package: Package, file: str, graph: OnnxFile) -> None:
        self._path = package.folder / file
        self._manifest = package.manifest
        self._architecture = package.manifest.architecture
        self._graph = graph
        self._layers = range(package.manifest.architecture.num_layers)
        static = package.manifest.graph.static
        self._chunk = static is not None and file == static.chunk_file

    def run(self) -> None:
        manifest, names = self._manifest, self._manifest.graph.names
        expected = self._expected_inputs(names)
        past = [name for layer in self._layers for name in names.past(layer)]
        # A chunk fills the cache of its last layer and has no use for it.
        unused = set(names.past(self._layers[-1])) if self._chunk else set()
        for name in (*expected, *past):
            if name not in self._graph.inputs and name not in unused:
                raise self._error(f"has no input {shown(name)}, which the manifest names")
        named = {*expected, *past}
        if len(named) < len(expected) + len(past):
            raise self._error("has names that the manifest uses twice")
        for name in self._graph.required:
            if name not in named:
                raise self._error(
                    f"needs the input {shown(name)}, which the manifest does not name"
                )
        for name, (dtype, sizes) in expected.items():
            self._check(name, self._graph.inputs[name], dtype, sizes)
        self._check_outputs()
        self._check_tables()
        if manifest.graph.cache == "shared":
            operators = self._graph.operators[ATTENTION]
            if operators < len(self._layers):
                raise self._error(
                    f"has {operators} of {ATTENTION}, which a shared cache needs in every layer"
                )

    def _expected_inputs(self, names: GraphNames) -> dict[str, tuple[str, Sizes]]:
        """Types and sizes of the inputs but the cache's."""
        static = self._manifest.graph.static
        if static is None:
            ids: tuple[str, Sizes] = ("int64", (1, _OPEN))
            mask = ids
        else:
            tokens = static.chunk if self._chunk else 1
            ids = ("int32", (1, tokens))
            mask = ("float32", (1, 1, tokens, static.past + tokens))
        expected = {names.input_ids: ids, names.attention_mask: mask}
        if names.position_ids is not None:
            expected[names.position_ids] = ids
        if names.logits_to_keep is not None:
            expected[names.logits_to_keep] = ("int64", (1,))
        return expected

    def _check_outputs(self) -> None:
        names, outputs = self._manifest.graph.names, self._graph.outputs
        if not self._chunk:
            if names.logits not in outputs:
                raise self._error(f"has no output {shown(names.logits)}, which the manifest names")
            logits, vocabulary = outputs[names.logits], self._architecture.vocab_size
            self._check(names.logits, logits, "float32", (1, None, None))
            last = logits.shape[-1] if logits.shape else None
            if isinstance(last, int) and last != vocabulary:
                raise self._error(
                    f"has logits of {last} tokens, the manifest says vocab_size {vocabulary}"
                )
        for layer in self._layers:
            pairs = zip(names.past(layer), names.present(layer), strict=True)
            for part, (past, present) in enumerate(pairs):
                if present not in outputs:
                    raise self._error(f"has no output {shown(present)}, which the manifest names")
                if past in self._graph.inputs:
                    self._check_cache(past, self._graph.inputs[past], part == 0, out=False)
                self._check_cache(present, outputs[present], part == 0, out=True)

    def _check_cache(self, name: str, info: TensorInfo, transposed: bool, out: bool) -> None:
        """Type, heads and head_size of a past or a present."""
        architecture, graph = self._architecture, self._manifest.graph
        if info.dtype != graph.cache_dtype:
            raise self._error(
                f"has {shown(name)} as {info.dtype}, the manifest says {graph.cache_dtype}"
            )
        heads, size = architecture.num_heads, architecture.head_size
        tokens = _OPEN
        if graph.static is not None:
            tokens = graph.static.past
            if out:
                tokens = graph.static.chunk if self._chunk else 1
        sizes: Sizes = (1, heads, tokens, size)
        if graph.static is not None and transposed:  # keys
            sizes = (1, heads, size, tokens)
        if not _fits(info.shape, sizes):
            raise self._error(
                f"has other heads than the manifest says: {shown(name)} is {_text(info.shape)}, "
                f"the manifest says {heads} heads of {size}"
            )

    def _check_tables(self) -> None:
        """The position table against the manifest's context and width."""
        architecture = self._architecture
        if self._graph.positions is None:
            return
        positions, width = self._graph.positions
        if isinstance(positions, int) and positions < architecture.context_length:
            raise self._error(
                f"has {positions} positions, the manifest says context_length "
                f"{architecture.context_length}"
            )
        if width != architecture.hidden_size:
            raise self._error(
                f"has a hidden size of {width}, the manifest says hidden_size "
                f"{architecture.hidden_size}"
            )

    def _check(self, name: str, info: TensorInfo, dtype: str, sizes: Sizes) -> None:
        if info.dtype != dtype or not _fits(info.shape, sizes):
            wanted = ", ".join("any" if size in (None, _OPEN) else str(size) for size in sizes)
            raise self._error(
                f"has {shown(name)} as {info.dtype} {_text(info.shape)}, expected {dtype} "
                f"[{wanted}]"
            )

    def _error(self, what: str) -> PackageError:
        return PackageError(f"{self._path} {what}; export the package again")


def is_open(package: Package, graph: OnnxFile) -> bool:
    """Whether the file leaves something open that the manifest says, so that a step must tell."""
    names, layers = package.manifest.graph.names, range(package.manifest.architecture.num_layers)
    logits = graph.outputs[names.logits].shape
    caches = [graph.inputs[name].shape for layer in layers for name in names.past(layer)]
    caches += [graph.outputs[name].shape for layer in layers for name in names.present(layer)]
    return (
        not logits
        or not isinstance(logits[-1], int)
        or any(not shape or not isinstance(shape[1], int) for shape in caches)
        or any(not shape or not isinstance(shape[3], int) for shape in caches)
        or graph.positions is None
    )


def try_graph(package: Package, session: ort.InferenceSession) -> None:
    """Run one token at the last position; PackageError unless what comes is what is expected.

    Not for graphs of fixed shapes, which leave nothing open.
    """
    graph, architecture = package.manifest.graph, package.manifest.architecture
    names, heads, size = graph.names, architecture.num_heads, architecture.head_size
    feeds: dict[str, Any] = {
        names.input_ids: np.zeros((1, 1), np.int64),
        names.attention_mask: np.ones((1, 1), np.int64),
    }
    if names.position_ids is not None:
        feeds[names.position_ids] = np.array([[architecture.context_length - 1]], np.int64)
    outputs = [names.logits]
    expected: list[tuple[int, ...]] = [(1, 1, architecture.vocab_size)]
    empty = np.zeros((1, heads, 0, size), graph.cache_dtype)
    for layer in range(architecture.num_layers):
        feeds |= dict.fromkeys(names.past(layer), empty)
        outputs += names.present(layer)
        expected += [(1, heads, 1, size)] * 2
    try:
        shapes = [value.shape for value in session.run(outputs, feeds)]
    except Exception as error:  # ONNX Runtime raises a family of its own
        raise PackageError(
            f"{package.model_path} does not run as the manifest says, with a context_length of "
            f"{architecture.context_length}: ONNX Runtime {ort.__version__} says {reason(error)}"
        ) from error
    for name, shape, wanted in zip(outputs, shapes, expected, strict=True):
        if shape != wanted:
            raise PackageError(
                f"{package.model_path} gives {shown(name)} as {_text(shape)}, the manifest says "
                f"{_text(wanted)}; export the package again"
            )


def reason(error: BaseException, limit: int = 160) -> str:
    """What ONNX Runtime says, in one line: the end of it, where the reason stands."""
    line = " ".join(str(error).split()) or type(error).__name__
    too_large = _NO_MEMORY.search(line)
    if too_large:
        return f"there is no memory for a tensor of {int(too_large[1]) / 1e6:,.0f} MB"
    if "std::bad_alloc" in line:
        return "there is no memory for its tensors"
    return line if len(line) <= limit else f"... {line[-limit:]}"


def _fits(shape: Shape | None, sizes: Sizes) -> bool:
    """Whether a declared shape, its open sizes aside, may be `sizes`."""
    if shape is None:
        return True
    return len(shape) == len(sizes) and all(
        not isinstance(there, int) or wanted is None or there == wanted
        for there, wanted in zip(shape, sizes, strict=True)
    )


def _text(shape: Shape | None) -> str:
    return "of no declared shape" if shape is None else shown(list(shape))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])
