"""Editing an ONNX graph by its bytes: what its nodes read and write, and messages written anew.

Field numbers are those of onnx.proto (ONNX 1.17); the rest is as in `onnx_file.py`: nothing of the
file is trusted, and what is not understood is copied or refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gpt2_edge.files.protobuf import OnnxFileError, ProtobufFile

MOST_NODES = 50_000  # an optimum graph of 48 layers has 4,000
_INT, _EXTERNAL = 2, 1  # of AttributeProto.AttributeType and TensorProto.DataLocation
MICROSOFT = "com.microsoft"
FLOAT, UINT8, FLOAT16 = 1, 2, 10  # of TensorProto.DataType
# Of larger tensors the new graph only says where in the file they lie.
_INLINE = 1 << 10


class Field(NamedTuple):
    """A field of a message: it begins with its key at `start`, its content at `first`."""

    number: int
    wire: int
    start: int
    first: int
    end: int

    def is_message(self, number: int) -> bool:
        """Whether it is field `number` and has a length: a message, text, or bytes."""
        return self.number == number and self.wire == 2


@dataclass
class Node:
    """A node: what it reads and writes, and where each of its other fields lies."""

    start: int
    end: int
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    others: list[Field] = field(default_factory=list)


class OnnxEdit(ProtobufFile):
    """One pass over a file whose graph `_graph` writes anew.

    _file_name: what the file is called, where large tensors are to stay in it.
    """

    _file_name: str | None = None

    def edited(self) -> bytes:
        """The whole file, edited. Raises OnnxFileError, and OSError where reading fails."""
        parts = []
        graphs = 0
        for found in self._fields(0, self._end):
            if found.is_message(7):
                graphs += 1
                parts.append(message(7, self._graph(found.first, found.end)))
            else:
                parts.append(self._whole(found))
        if graphs != 1:
            raise OnnxFileError("it holds no ONNX graph")
        return b"".join(parts)

    def _graph(self, start: int, end: int) -> bytes:
        raise NotImplementedError

    def _node(self, where: Field) -> Node:
        node = Node(where.start, where.end)
        for found in self._fields(where.first, where.end):
            if found.is_message(1):
                node.inputs.append(self._text(found.first, found.end))
            elif found.is_message(2):
                node.outputs.append(self._text(found.first, found.end))
            else:
                node.others.append(found)
                if found.is_message(4):
                    node.operator = self._text(found.first, found.end)
        return node

    def _tensor(self, where: Field) -> bytes:
        """A tensor, with its key; raw data that is large stays where it is, in the file."""
        raw = None
        if self._file_name is not None and where.end - where.first > _INLINE:
            fields = list(self._fields(where.first, where.end))
            raw = next((found for found in fields if found.is_message(9)), None)
        if raw is None or raw.end - raw.first <= _INLINE:
            return self._whole(where)
        # Raw data, and what is said of where it lies, is replaced.
        parts = [self._whole(found) for found in fields if found.number not in (9, 13, 14)]
        place = {"location": self._file_name, "offset": raw.first, "length": raw.end - raw.first}
        for key, value in place.items():
            parts.append(message(13, text(1, key) + text(2, str(value))))
        return message(5, b"".join([*parts, number(14, _EXTERNAL)]))

    def _name(self, number: int, where: Field) -> str:
        """The text that is field `number` of a message: its name."""
        name = ""
        for inner, first, last in self._messages(where.first, where.end):
            if inner == number:
                name = self._text(first, last)
        return name

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        for found, wire, first, last in self._all(start, end):
            yield Field(found, wire, start, first, last)
            start = last

    def _whole(self, where: Field) -> bytes:
        return self._bytes(where.start, where.end)

    def _bytes(self, start: int, end: int) -> bytes:
        self._cover(start, end)
        return self._window[start - self._base : end - self._base]


def node_bytes(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    domain: str = "",
    **integers: int,
) -> bytes:
    """A node, with its key in a graph; `integers` are its attributes."""
    parts = [text(1, name) for name in inputs] + [text(2, name) for name in outputs]
    parts += [text(3, outputs[0]), text(4, operator)]
    parts += [message(5, attribute(name, value)) for name, value in integers.items()]
    return message(1, b"".join([*parts, text(7, domain)]))


def attribute(name: str, value: int) -> bytes:
    """The content of a whole number's attribute."""
    # Negative numbers are ten bytes long, as of 64 bits.
    return text(1, name) + number(3, value & 0xFFFF_FFFF_FFFF_FFFF) + number(20, _INT)


def tensor_bytes(name: str, data_type: int, shape: Sequence[int], raw: bytes) -> bytes:
    """A tensor, with its key in a graph; data_type: of TensorProto.DataType."""
    sizes = b"".join(number(1, size) for size in shape)
    return message(5, sizes + number(2, data_type) + text(8, name) + message(9, raw))


def external(entries: Mapping[str, str]) -> tuple[str, int, int | None]:
    """Where a tensor's data lies: file, offset, and bytes if that is said; OnnxFileError."""
    try:
        length = entries.get("length")
        place = entries["location"], int(entries.get("offset", "0"))
        return *place, None if length is None else int(length)
    except (KeyError, ValueError) as error:
        raise OnnxFileError("it does not say where a tensor lies") from error


def message(number: int, content: bytes) -> bytes:
    """A field that has a length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def text(number: int, value: str) -> bytes:
    """A field with a text."""
    return message(number, value.encode())


def number(number: int, value: int) -> bytes:
    """A field with a number, not negative."""
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
