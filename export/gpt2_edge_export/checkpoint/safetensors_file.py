"""Safetensors files, whose headers are believed only once they agree with the file.

The format: the header's length in 8 bytes (little-endian), the header in JSON (name -> dtype,
shape, data_offsets), and the tensors without a gap, row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import JSON_LIMIT, UnreadableError, parse_json, peek, shown

_FLOATS: dict[str, npt.DTypeLike] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
}
# Bytes of an element of the types that no weight of a GPT-2 has, by the format's name.
_OTHERS = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E4M3": ("float8_e4m3", 1),
    "I16": ("int16", 2),
    "U16": ("uint16", 2),
    "I32": ("int32", 4),
    "U32": ("uint32", 4),
    "I64": ("int64", 8),
    "U64": ("uint64", 8),
}
_MOST_DIMENSIONS = 8
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Entry:
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int  # in the file
    size: int


class SafetensorsReader:
    """One or several safetensors files; each name must stand in one of them.

    Tensors are read, not mapped: mapped pages would stay with this process, all of the checkpoint
    in the end.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._entries: dict[str, _Entry] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.faults: dict[str, str] = {}
        for path in paths:
            for name, entry in _read_header(path).items():
                if name in self._entries:
                    raise CheckpointError(
                        f"{path} and {self._entries[name].path.name} both hold {shown(name)}; "
                        "keep one set of files"
                    )
                self._entries[name] = entry
                if entry.dtype in _FLOATS:
                    self.shapes[name] = entry.shape
                else:
                    kind = _OTHERS[entry.dtype][0] if entry.dtype in _OTHERS else entry.dtype
                    self.faults[name] = f"has type {kind}"

    def read(self, name: str) -> npt.NDArray[Any]:
        entry = self._entries[name]
        kind = np.dtype(_FLOATS[entry.dtype])
        try:
            array = np.fromfile(entry.path, kind, math.prod(entry.shape), offset=entry.start)
            return array.reshape(entry.shape)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{entry.path}: {name} cannot be read; was the file changed meanwhile?"
            ) from error

    def in_file(self, name: str, shape: tuple[int, ...] = ()) -> tuple[str, tuple[int, ...]]:
        """The file's own name and shape of a tensor."""
        return name, shape

    def same(self, name: str, other: str) -> bool:
        """Whether two tensors of one shape hold the same numbers; neither is read whole."""
        first, second = self._entries[name], self._entries[other]
        if first.dtype != second.dtype:
            return bool(np.array_equal(self.read(name), self.read(other)))
        try:
            with first.path.open("rb") as one, second.path.open("rb") as two:
                one.seek(first.start)
                two.seek(second.start)
                for done in range(0, first.size, _CHUNK):
                    count = min(_CHUNK, first.size - done)
                    if one.read(count) != two.read(count):
                        return False
        except OSError as error:
            raise CheckpointError(f"{first.path} cannot be read: {error.strerror}") from error
        return True


def _read_header(path: Path) -> dict[str, _Entry]:
    """What is in the file `path`; CheckpointError where the header does not agree with it."""
    try:
        head, file_size = peek(path, 8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > file_size - 8:
            raise UnreadableError("it is shorter than its header says")
        if length > JSON_LIMIT:
            raise UnreadableError(f"its header has more than {JSON_LIMIT >> 20} MB")
        with path.open("rb") as file:
            file.seek(8)
            header = parse_json(file.read(length))
        return _entries(path, header, 8 + length, file_size)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except (OSError, UnreadableError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        again = "" if "git lfs pull" in str(reason) else "; download or copy it again"
        raise CheckpointError(f"{path} is not a whole safetensors file: {reason}{again}") from error


def _entries(path: Path, header: Any, data: int, file_size: int) -> dict[str, _Entry]:
    if not isinstance(header, dict):
        raise UnreadableError("its header holds no JSON object")
    entries = {
        name: _entry(path, name, value, data)
        for name, value in header.items()
        if name != "__metadata__"
    }
    end = data
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].size)):
        if entry.start != end:
            raise UnreadableError(f"{shown(name)} does not begin where the tensor before it ends")
        end += entry.size
    if end != file_size:
        raise UnreadableError(f"its header speaks of {end} bytes, it has {file_size}")
    return entries


def _entry(path: Path, name: str, value: Any, data: int) -> _Entry:
    if not isinstance(value, dict):
        raise UnreadableError(f"its header has no dtype and shape for {shown(name)}")
    dtype = value.get("dtype")
    if not isinstance(dtype, str):
        raise UnreadableError(f"{shown(name)} has the dtype {shown(dtype)}")
    shape = _sizes(name, value, "shape")
    offsets = _sizes(name, value, "data_offsets")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise UnreadableError(f"{shown(name)} has the data_offsets {shown(offsets)}")
    size = offsets[1] - offsets[0]
    if dtype in _FLOATS or dtype in _OTHERS:
        each = np.dtype(_FLOATS[dtype]).itemsize if dtype in _FLOATS else _OTHERS[dtype][1]
        if math.prod(shape) * each != size:
            raise UnreadableError(f"{shown(name)} has {size} bytes, not those of its shape")
    return _Entry(path, dtype, tuple(shape), data + offsets[0], size)


def _sizes(name: str, value: dict[str, Any], key: str) -> list[int]:
    """The list value[key] of whole numbers that a file can have, a few at most."""
    sizes = value.get(key)
    if (
        isinstance(sizes, list)
        and len(sizes) <= _MOST_DIMENSIONS
        and all(type(size) is int and 0 <= size < 2**63 for size in sizes)
    ):
        return sizes
    raise UnreadableError(f"{shown(name)} has the {key} {shown(sizes)}")
