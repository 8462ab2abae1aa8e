"""Files of torch.save: tensors and plain values, and never the code that a pickle can hold."""

from __future__ import annotations

import importlib
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError, MissingDependencyError
from gpt2_edge.untrusted import UnreadableError, peek, shown

_PICKLE_LIMIT = 64 << 20  # of what describes the tensors; a GPT-2's takes some 100 KB
# NumPy's scalars and arrays, as they stand in checkpoints beside the weights: they are skipped.
_NUMPY = ("scalar", "_reconstruct", "ndarray", "dtype")
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy")
_GLOBAL = re.compile(r"(?:GLOBAL|Unsupported class|global) ([A-Za-z_][\w.]*\.[\w.]+)")


class TorchReader:
    """Tensors that torch has mapped from a file; converted one at a time.

    `faults` says of the entries that are no dense tensors of floats what they are.
    """

    def __init__(
        self, entries: Mapping[str, Any], transposed: Callable[[str], bool] | None = None
    ) -> None:
        self._transposed = transposed or (lambda name: False)
        found = {name: _fault(value) for name, value in entries.items()}
        self.faults = {name: fault for name, fault in found.items() if fault is not None}
        self._tensors = {k: value for k, value in entries.items() if k not in self.faults}
        self.shapes = {
            name: tuple(reversed(value.shape)) if self._transposed(name) else tuple(value.shape)
            for name, value in self._tensors.items()
        }

    def read(self, name: str) -> npt.NDArray[Any]:
        try:
            array: npt.NDArray[Any] = self._tensors[name].detach().float().numpy()
        except Exception as error:  # torch's own, and MemoryError
            raise CheckpointError(
                f"{name} cannot be converted by torch ({type(error).__name__})"
            ) from error
        return array.T if self._transposed(name) else array

    def in_file(self, name: str, shape: tuple[int, ...] = ()) -> tuple[str, tuple[int, ...]]:
        """The file's own name and shape of a tensor."""
        return name, shape[::-1] if self._transposed(name) else shape

    def same(self, name: str, other: str) -> bool:
        """Whether two tensors of one shape hold the same numbers."""
        one, two = self._tensors[name], self._tensors[other]
        if one.data_ptr() == two.data_ptr() and one.stride() == two.stride():
            return True
        return bool(np.array_equal(self.read(name), self.read(other)))


def load_torch_file(path: Path) -> Any:
    """What torch.save wrote to `path`: weights only, so no code in the file is run.

    Scalars and arrays of NumPy come as objects that hold nothing. Raises CheckpointError with what
    to do, in our words: torch's advise to switch its check off.
    """
    try:
        peek(path)
    except (FileNotFoundError, UnreadableError) as error:
        reason = "it is missing" if isinstance(error, FileNotFoundError) else error
        raise CheckpointError(f"{path} cannot be read: {reason}") from error
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} can only be read with torch; pip install torch, or convert it to safetensors"
        ) from error
    try:
        zipped, protocol = _inspect(path)
        with warnings.catch_warnings(), _numpy_skipped(torch):
            warnings.simplefilter("ignore")
            # Before torch 1.6 the file was no zip archive; such a one cannot be memory-mapped.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnreadableError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # torch raises pickle, zip, runtime and other errors here
        raise CheckpointError(f"{path} cannot be read: {_reason(error, protocol)}") from error


def tensors_of(content: Any, path: Path) -> dict[str, Any]:
    """The state dict that a file holds; its entries may be anything."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dict of tensors")
    for name in content:
        if not isinstance(name, str):
            raise CheckpointError(
                f"{path} is no state dict: it has the key {shown(name)}, which is no name"
            )
    return content


def _inspect(path: Path) -> tuple[bool, int]:
    """Whether `path` is a zip archive, and its pickle's protocol (0: unknown)."""
    if not zipfile.is_zipfile(path):
        return False, _protocol(peek(path)[0])
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.filename.endswith("constants.pkl") for entry in entries):
            raise UnreadableError("it is a TorchScript archive, which is code; give weights")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise UnreadableError("it is a compressed archive, which torch.save never writes")
        pickles = [entry for entry in entries if entry.filename.rsplit("/")[-1] == "data.pkl"]
        if any(entry.file_size > _PICKLE_LIMIT for entry in pickles):
            raise UnreadableError(f"its pickle has more than {_PICKLE_LIMIT >> 20} MB")
        if not pickles:
            return True, 0
        with archive.open(pickles[0]) as file:
            return True, _protocol(file.read(2))


def _protocol(head: bytes) -> int:
    return head[1] if head[:1] == b"\x80" and len(head) > 1 else 0


class _Nothing:
    """Stands for a value of NumPy: takes whatever it is made of, and keeps none of it."""

    def __init__(self, *parts: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


@contextmanager
def _numpy_skipped(torch: Any) -> Iterator[None]:
    """Have torch make `_Nothing` of NumPy's values, so that none of NumPy's code is run for them.

    torch goes by the module and name of what it is given. It cannot before version 2.5, and then
    refuses such files.
    """
    allow = getattr(torch.serialization, "safe_globals", None)
    if allow is None:
        yield
        return
    stands = [
        type(name, (_Nothing,), {"__module__": module})
        for module in _NUMPY_MODULES
        for name in _NUMPY
    ]
    with allow(stands):
        yield


def _reason(error: Exception, protocol: int) -> str:
    if protocol > 3:
        return (
            f"it is a pickle of protocol {protocol}, which torch reads only by running what it "
            "holds; save it again with torch.save(state_dict, FILE) as it is by default"
        )
    text = str(error)
    found = _GLOBAL.search(text)
    if found and found[1].startswith("__main__."):
        return (
            f"it holds an object of the class {shown(found[1])}, which only the program that "
            'wrote it knows; there, save plain values: torch.save({"model": model.state_dict(), '
            '"model_args": vars(config)}, FILE)'
        )
    if found:
        return (
            f"it holds {shown(found[1])}, and only tensors and plain values are read: anything "
            "else could run code; save the state dict alone, or as safetensors"
        )
    if "allowlist" in text or "add_safe_globals" in text or "reduce" in text:
        return "it holds more than tensors and plain values; save the state dict alone"
    return "it is no whole file of torch.save; download or copy it again"


def _fault(value: Any) -> str | None:
    """What is wrong with an entry of a state dict; None for a dense tensor of floats."""
    torch = importlib.import_module("torch")
    if not isinstance(value, torch.Tensor):
        kind = "NumPy value" if isinstance(value, _Nothing) else type(value).__name__
        return f"is a {kind}, not a tensor"
    if value.is_quantized:
        return "is a quantized tensor"
    if value.layout is not torch.strided or value.is_nested:
        return "is a sparse tensor"
    if value.device.type == "meta":
        return "is a tensor without values (device meta)"
    if value.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return f"has type {str(value.dtype).removeprefix('torch.')}"
    # An expanded tensor may claim any size.
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        return "has fewer values than its shape says"
    return None
