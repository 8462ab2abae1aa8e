"""What an ONNX file says of itself, read without ONNX Runtime and without its weights.

Files are untrusted, so the questions that decide whether a graph is loaded at all are answered from
the bytes: which other files its weights are in, what it takes and gives, how large its tables are,
whether it is made of what a GPT-2 is made of (graph_rules.py).
A walk over the protobuf encoding (protobuf.dev/programming-guides/encoding) that steps over raw
data; field numbers are those of onnx.proto (ONNX 1.17).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from gpt2_edge.files.graph_rules import check_node, with_functions, with_graph
from gpt2_edge.files.protobuf import OnnxFileError, ProtobufFile, signed

# ONNX's TensorProto.DataType, by NumPy's names.
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16"}
# Bits of a number of each of those types.
_BITS = {1: 32, 2: 8, 3: 8, 6: 32, 7: 64, 9: 8, 10: 16, 16: 16, 21: 4, 22: 4}

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: NumPy's name of its type, and its sizes, an open one as text.

    shape: None where the file says none.
    """

    dtype: str
    shape: Shape | None


@dataclass
class OnnxFile:
    """What a graph says of itself.

    inputs: in the file's order, those with a default among them. tables: sizes of its initializers;
    table_bits: of each of their numbers, 0 for types that are not known here.
    operators: how often each stands in the graph. weight_files: where the data of any tensor of the
    file, those in attributes among them, lies outside of it.
    """

    producer: str = ""
    inputs: dict[str, TensorInfo] = field(default_factory=dict)
    outputs: dict[str, TensorInfo] = field(default_factory=dict)
    tables: dict[str, Shape] = field(default_factory=dict)
    table_bits: dict[str, int] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)
    weight_files: set[str] = field(default_factory=set)

    @property
    def required(self) -> dict[str, TensorInfo]:
        """Inputs that have no default."""
        return {name: info for name, info in self.inputs.items() if name not in self.tables}

    @property
    def positions(self) -> Shape | None:
        """Sizes of the table of position embeddings; None where none has its name."""
        for name, shape in self.tables.items():
            if f".{name}".endswith(".wpe.weight") and len(shape) == 2:
                return shape
        return None


def read_onnx(source: BinaryIO | bytes) -> OnnxFile:
    """Read the ONNX file `source`, an open file or its content; weights are stepped over.

    Raises OnnxFileError for what is no ONNX file, and for a graph with parts that no GPT-2 has;
    OSError where reading fails.
    """
    return _Walk(source).model()


class _Walk(ProtobufFile):
    """One pass over a file. A message is a range of it, [start, end)."""

    def __init__(self, source: BinaryIO | bytes) -> None:
        super().__init__(source)
        self._found = OnnxFile()

    def model(self) -> OnnxFile:
        graphs = 0
        for number, start, end in self._messages(0, self._end):
            if number == 2:  # producer_name
                self._found.producer = self._text(start, end)
            elif number == 7:  # graph
                graphs += 1
                self._graph(start, end)
            elif number == 25:  # functions
                raise with_functions()
        if graphs != 1:
            raise OnnxFileError("it holds no ONNX graph")
        return self._found

    def _graph(self, start: int, end: int) -> None:
        found = self._found
        for number, first, last in self._messages(start, end):
            if number == 1:
                found.operators[self._node(first, last)] += 1
            elif number == 5:  # initializer
                name, shape, bits = self._tensor(first, last)
                found.tables[name], found.table_bits[name] = shape, bits
            elif number == 15:  # sparse_initializer
                self._sparse(first, last)
            elif number in (11, 12):
                name, info = self._value_info(first, last)
                (found.inputs if number == 11 else found.outputs)[name] = info

    def _node(self, start: int, end: int) -> str:
        """The node's operator."""
        operator = domain = ""
        # Attributes are half of a file's fields, and hardly any holds what is looked for.
        attributes = self._may_hold((b"location",), start, end)
        for number, first, last in self._messages(start, end):
            if number == 4:
                operator = self._text(first, last)
            elif number == 5 and attributes:
                self._attribute(operator, first, last)
            elif number == 7:
                domain = self._text(first, last)
        check_node(operator, domain)
        return operator

    def _attribute(self, operator: str, start: int, end: int) -> None:
        for number, first, last in self._messages(start, end):
            if number in (5, 10):  # t, tensors
                self._tensor(first, last)
            elif number in (6, 11):  # g, graphs: of no operator but those that are refused anyway
                raise with_graph(operator)
            elif number in (22, 23):  # sparse_tensor, sparse_tensors
                self._sparse(first, last)

    def _sparse(self, start: int, end: int) -> None:
        for number, first, last in self._messages(start, end):
            if number in (1, 2):  # values, indices
                self._tensor(first, last)

    def _tensor(self, start: int, end: int) -> tuple[str, Shape, int]:
        """Name, sizes and bits; where its data lies goes to `weight_files`."""
        name, sizes, bits = "", [], 0
        for number, wire, value, last in self._all(start, end):
            if number == 1 and wire == 0:
                sizes.append(signed(value))
            elif number == 1 and wire == 2:  # packed
                sizes.extend(self._packed(value, last))
            elif number == 2 and wire == 0:
                bits = _BITS.get(value, 0)
            elif number == 8 and wire == 2:
                name = self._text(value, last)
            elif number == 13 and wire == 2:
                key = location = ""
                for inner, first, stop in self._messages(value, last):
                    if inner == 1:
                        key = self._text(first, stop)
                    elif inner == 2:
                        location = self._text(first, stop)
                if key == "location":
                    self._found.weight_files.add(location)
        return name, tuple(sizes), bits

    def _value_info(self, start: int, end: int) -> tuple[str, TensorInfo]:
        name, dtype, shape = "", "nothing", None
        for number, first, last in self._messages(start, end):
            if number == 1:
                name = self._text(first, last)
            elif number == 2:  # type
                for kind, inner, stop in self._messages(first, last):
                    if kind == 1:  # tensor_type
                        dtype, shape = self._tensor_type(inner, stop)
        return name, TensorInfo(dtype, shape)

    def _tensor_type(self, start: int, end: int) -> tuple[str, Shape | None]:
        dtype, shape = "nothing", None
        for number, wire, value, last in self._all(start, end):
            if number == 1 and wire == 0:
                dtype = _DTYPES.get(value, f"ONNX type {value}")
            elif number == 2 and wire == 2:
                shape = tuple(
                    self._dimension(first, stop)
                    for inner, first, stop in self._messages(value, last)
                    if inner == 1
                )
        return dtype, shape

    def _dimension(self, start: int, end: int) -> int | str:
        size: int | str = "?"
        for number, wire, value, last in self._all(start, end):
            if number == 1 and wire == 0 and signed(value) >= 0:
                size = value
            elif number == 2 and wire == 2:
                size = self._text(value, last)
        return size
