"""Reading tensors out of weight files one at a time, whatever the file format."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy, which safetensors asks for by name)
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from gpt2_edge.errors import CheckpointError, MissingDependencyError
from gpt2_edge_export.config import read_json


class TensorReader(Protocol):
    """Tensors by name; `read` loads one, `shapes` none."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def read(self, name: str) -> npt.NDArray[Any]: ...


class SafetensorsReader:
    """One or several safetensors files; each name must stand in one of them.

    A file is opened for every tensor anew: it is memory-mapped, and the pages that were read
    would otherwise stay with this process, all of the checkpoint in the end.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._paths: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in paths:
            try:
                with safe_open(path, "numpy") as file:
                    for name in file.keys():  # noqa: SIM118  (not a dictionary)
                        self._paths[name] = path
                        self.shapes[name] = tuple(file.get_slice(name).get_shape())
            except (SafetensorError, OSError) as error:
                raise CheckpointError(
                    f"{path} is not a whole safetensors file ({error}); download or copy it again"
                ) from error

    def read(self, name: str) -> npt.NDArray[Any]:
        path = self._paths[name]
        try:
            with safe_open(path, "numpy") as file:
                array: npt.NDArray[Any] = file.get_tensor(name)
        except (SafetensorError, OSError, TypeError) as error:
            raise CheckpointError(f"{path}: {name} cannot be read: {error}") from error
        return array


class TorchReader:
    """Tensors that torch has mapped from a file; converted one at a time."""

    def __init__(self, tensors: Mapping[str, Any], transposed: Callable[[str], bool] | None = None):
        self._tensors = tensors
        self._transposed = transposed or (lambda name: False)
        self.shapes = {
            name: tuple(reversed(value.shape)) if self._transposed(name) else tuple(value.shape)
            for name, value in tensors.items()
        }

    def read(self, name: str) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = self._tensors[name].detach().float().numpy()
        return array.T if self._transposed(name) else array


def load_torch_file(path: Path) -> Any:
    """What torch.save wrote to `path`: weights only, so no code in the file is run."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} can only be read with torch; pip install torch, or convert it to safetensors"
        ) from error
    try:
        # Before torch 1.6 the file was no zip archive; such a one cannot be memory-mapped.
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises pickle, zip, runtime and other errors here
        reason = first_line(error)
        raise CheckpointError(f"{path} cannot be read by torch: {reason}") from error


def open_folder_weights(folder: Path) -> TensorReader:
    """The weights in a Hugging Face folder: safetensors first, whole or sharded, then torch's."""
    for single, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if (folder / single).is_file():
            paths = [folder / single]
        elif (folder / index).is_file():
            paths = _shards(folder / index)
        else:
            continue
        if single.endswith(".safetensors"):
            return SafetensorsReader(paths)
        tensors: dict[str, Any] = {}
        for path in paths:
            tensors |= _tensors_of(load_torch_file(path), path)
        return TorchReader(tensors)
    raise CheckpointError(
        f"{folder} holds neither model.safetensors nor pytorch_model.bin (whole or with an index)"
    )


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map")
    paths = [index.parent / str(name) for name in sorted(set(weight_map.values()))]
    for path in paths:
        if not path.is_file():
            raise CheckpointError(f"{index} names {path.name}, which is missing")
    return paths


def _tensors_of(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dict of tensors")
    return {name: value for name, value in content.items() if hasattr(value, "shape")}


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def as_float32(array: npt.NDArray[Any], name: str, where: str) -> npt.NDArray[np.float32]:
    """`array` in float32, checked to be a float type with finite values only."""
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise CheckpointError(f"{where}: {name} has type {array.dtype}; expected floats")
    wide = np.asarray(array, np.float32)
    if not np.isfinite(wide).all():
        bad = int(np.size(wide) - np.isfinite(wide).sum())
        raise CheckpointError(
            f"{where}: {name} holds {bad} NaN or infinite values; the checkpoint is damaged"
        )
    return wide
