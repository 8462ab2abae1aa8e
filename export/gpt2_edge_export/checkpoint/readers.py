"""Reading tensors out of weight files one at a time, whatever the file format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import shown
from gpt2_edge_export.checkpoint.config import read_json
from gpt2_edge_export.checkpoint.other_formats import other_weights
from gpt2_edge_export.checkpoint.safetensors_file import SafetensorsReader
from gpt2_edge_export.checkpoint.torch_file import TorchReader, load_torch_file, tensors_of


class TensorReader(Protocol):
    """Tensors by name; `read` loads one, the others none.

    `shapes` has the dense tensors of floats; `faults` says of all others what is wrong with them.
    Names and shapes may be another model's than those of the file: `in_file` gives the file's own,
    for messages, of tensors that it has and of others.
    """

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    @property
    def faults(self) -> Mapping[str, str]: ...

    def read(self, name: str) -> npt.NDArray[Any]: ...

    def same(self, name: str, other: str) -> bool: ...

    def in_file(self, name: str, shape: tuple[int, ...] = ()) -> tuple[str, tuple[int, ...]]: ...


def open_folder_weights(folder: Path) -> TensorReader:
    """The weights in a Hugging Face folder: safetensors first, whole or sharded, then torch's."""
    for single, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if os.path.lexists(folder / single):
            paths = [folder / single]
        elif os.path.lexists(folder / index):
            paths = _shards(folder / index)
        else:
            continue
        if single.endswith(".safetensors"):
            return SafetensorsReader(paths)
        entries: dict[str, Any] = {}
        for path in paths:
            entries |= tensors_of(load_torch_file(path), path)
        return TorchReader(entries)
    raise CheckpointError(
        f"{folder} holds neither model.safetensors nor pytorch_model.bin (whole or with an index)"
        + other_weights(folder)
    )


def _shards(index: Path) -> list[Path]:
    """The files that an index names, which lie in its folder or below."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map")
    names = weight_map.values()
    wrong = [name for name in names if not isinstance(name, str) or not _is_inside(name)]
    if wrong:
        raise CheckpointError(f"{index} names {shown(wrong[0])}, which is no file in its folder")
    paths = [index.parent / name for name in sorted(set(names))]
    for path in paths:
        if not os.path.lexists(path):
            raise CheckpointError(f"{index} names {shown(path.name)}, which is missing")
    return paths


def _is_inside(name: str) -> bool:
    """Whether the relative path `name` stays in its folder, on every system."""
    parts = PurePosixPath(name).parts
    plain = "\\" not in name and "\0" not in name and not PureWindowsPath(name).drive
    return plain and bool(parts) and ".." not in parts and not name.startswith("/")


def as_float32(array: npt.NDArray[Any], name: str, where: str) -> npt.NDArray[np.float32]:
    """`array` in float32, checked to be a float type with finite values only."""
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise CheckpointError(f"{where}: {name} has type {array.dtype}; expected floats")
    with np.errstate(over="ignore", invalid="ignore"):  # said below, in our words
        wide = np.asarray(array, np.float32)
    if not np.isfinite(wide).all():
        bad = int(np.size(wide) - np.isfinite(wide).sum())
        raise CheckpointError(
            f"{where}: {name} holds {bad} NaN or infinite values (or beyond float32); the "
            "checkpoint is damaged"
        )
    return wide
