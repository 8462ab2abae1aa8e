"""A package's graph as one that reads prompts faster: its bytes, edited, with weights of its own.

MatMulNBits takes the rows of a prompt one after the other, at the same cost each. Integer products
of whole matrices take a third of that (where the processor has VNNI or AMX, or only AVX2). So its
weights of 4 or 8 bits in blocks become 8 bits a column, and every row of activations is rounded to
8 bits with a step of its own: a row's result does not depend on the others. What goes into
attention is rounded in 16 bits, in two products: there errors of queries and of keys multiply.

The weights' new rounding adds a 256th of the error that rounding to 4 bits made before, if all
blocks of a column have the same scale. The cache is as the package's own graph has it.
`onnx_edit.py` says what is trusted: nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from gpt2_edge.files.integer_products import IntegerProducts, by_column, with_bias
from gpt2_edge.files.onnx_edit import (
    FLOAT,
    FLOAT16,
    MOST_NODES,
    UINT8,
    Field,
    Node,
    OnnxEdit,
    external,
)
from gpt2_edge.files.protobuf import OnnxFileError, signed

_PRODUCT, _ATTENTION = "MatMulNBits", "GroupQueryAttention"
_GELUS = ("FastGelu", "Gelu")
_WHOLE_COLUMNS = 16  # ONNX Runtime before 1.25 computes others wrong with AMX (linear.py)
_DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype("<f4"),
    UINT8: np.dtype("u1"),
    FLOAT16: np.dtype("<f2"),
}

# Bytes of a file beside the graph: its name, offset, and how many.
ReadOutside = Callable[[str, int, int], bytes]


def prompt_graph(
    source: BinaryIO | bytes,
    read_outside: ReadOutside,
    file_name: str | None = None,
    *,
    unsigned: bool = False,
) -> bytes:
    """The ONNX file `source` (open, or its content) with integer products for one sequence.

    read_outside: reads tensors that are not in the file. file_name: what the file is called;
    tensors that stay as they are then stay in it, and the result refers to them there. unsigned:
    the form of the new weights, see IntegerProducts.

    Raises OnnxFileError where there is no product to be replaced, and for what is no ONNX file;
    OSError where reading fails.
    """
    return _Edit(source, read_outside, file_name, unsigned).edited()


def products(operators: Counter[str]) -> bool:
    """Whether a graph with these operators may have something for `prompt_graph` to replace."""
    return operators[_PRODUCT] > 1 and operators[_ATTENTION] > 0  # one is the head


class _Tensor(NamedTuple):
    """Where the numbers of a tensor are: in the file, or at `place` outside of it."""

    data_type: int
    shape: tuple[int, ...]
    raw: Field | None
    place: tuple[str, int, int | None] | None


@dataclass(frozen=True)
class _Replaced:
    """A product of a layer: the operator's attributes, and what it is between.

    bias_by: the node that can add the bias too, by its number.
    """

    width: int  # K
    columns: int  # N
    bits: int
    block: int
    into_attention: bool
    behind_gelu: bool
    bias: str
    bias_by: int | None


class _Edit(OnnxEdit):
    def __init__(
        self,
        source: BinaryIO | bytes,
        read_outside: ReadOutside,
        file_name: str | None,
        unsigned: bool,
    ) -> None:
        super().__init__(source)
        self._read_outside = read_outside
        self._file_name = file_name
        self._unsigned = unsigned
        self._tensors: dict[str, _Tensor] = {}

    def _graph(self, start: int, end: int) -> bytes:
        nodes: list[Node] = []
        others: list[Field] = []
        outputs: set[str] = set()
        for found in self._fields(start, end):
            if found.is_message(1):
                nodes.append(self._node(found))
                if len(nodes) > MOST_NODES:
                    raise OnnxFileError("it has more nodes than any GPT-2")
                continue
            others.append(found)
            if found.is_message(5):
                self._tensors[self._name(8, found)] = self._described(found)
            elif found.is_message(12):
                outputs.add(self._name(1, found))
        self._readers = Counter(name for node in nodes for name in node.inputs)
        self._casts = {n.outputs[0]: n.inputs[0] for n in nodes if _is_cast(n)}
        replaced = self._replaced(nodes, outputs)
        if not replaced:
            raise OnnxFileError("it has no matrices in blocks of 4 or 8 bits")
        biases = {r.bias_by: nodes[i] for i, r in replaced.items() if r.bias_by is not None}
        parts = []
        read: set[str] = set(outputs)
        written: dict[int, bytes] = {}
        writer = IntegerProducts(self._unsigned)
        for number, node in enumerate(nodes):
            if number in replaced:
                read.add(node.inputs[0])
            else:
                read.update(node.inputs)
        for number, node in enumerate(nodes):
            if number in replaced:
                written[number] = self._integer_product(writer, node, replaced[number])
            elif number in biases:
                written[number] = with_bias(node, biases[number].inputs[5])
            elif not (_is_cast(node) and read.isdisjoint(node.outputs)):
                written[number] = self._bytes(node.start, node.end)
        read.update(self._casts[name] for name in read & self._casts.keys())
        gone = {n for i in replaced for n in nodes[i].inputs[1:3]} - read
        gone |= {self._casts[name] for name in gone & self._casts.keys()} - read
        for found in others:
            if found.is_message(5) and self._name(8, found) in gone:
                continue
            parts.append(self._tensor(found) if found.is_message(5) else self._whole(found))
        return b"".join([*written.values(), *parts, *writer.constants.values()])

    def _replaced(self, nodes: list[Node], outputs: set[str]) -> dict[int, _Replaced]:
        """The products that are understood, by the number of their node; the head is none."""
        made_by = {name: node.operator for node in nodes for name in node.outputs}
        found = {}
        for number, node in enumerate(nodes):
            if node.operator != _PRODUCT or not outputs.isdisjoint(node.outputs):
                continue
            given = self._integers(node)
            sizes = [given.get(name, 0) for name in ("K", "N", "bits", "block_size")]
            width, columns, bits, block = sizes
            extra = [*node.inputs, "", "", ""][3:6]
            if bits not in (4, 8) or extra[0] or extra[1] or columns % _WHOLE_COLUMNS:
                continue
            if not (0 < width <= 1 << 20 and 0 < columns <= 1 << 20 and 16 <= block <= 1 << 20):
                continue
            blocks = -(-width // block)
            scales = self._casts.get(node.inputs[2], node.inputs[2])
            if not (
                self._has(node.inputs[1], (UINT8,), columns * blocks * (block * bits // 8))
                and self._has(scales, (FLOAT, FLOAT16), columns * blocks)
            ):
                continue
            readers = [i for i, n in enumerate(nodes) if node.outputs[0] in n.inputs]
            reader = nodes[readers[0]] if len(readers) == 1 else None
            takes_bias = reader is not None and (
                (reader.operator == "FastGelu" and len(reader.inputs) == 1)
                or reader.operator == "Add"
            )
            if reader is not None and _is_cast(reader):  # to a float16 cache
                reader = next((n for n in nodes if reader.outputs[0] in n.inputs), None)
            found[number] = _Replaced(
                width,
                columns,
                bits,
                block,
                into_attention=reader is not None and reader.operator == _ATTENTION,
                behind_gelu=made_by.get(node.inputs[0]) in _GELUS,
                bias=extra[2],
                bias_by=readers[0] if extra[2] and takes_bias else None,
            )
        return found

    def _integer_product(self, writer: IntegerProducts, node: Node, product: _Replaced) -> bytes:
        blocks = -(-product.width // product.block)
        packed = self._numbers(node.inputs[1]).reshape(product.columns, blocks, -1)
        scales = self._numbers(self._casts.get(node.inputs[2], node.inputs[2]))
        return writer.product(
            node.inputs[0],
            node.outputs[0],
            *by_column(
                packed, scales.reshape(product.columns, blocks), product.bits, product.width
            ),
            finely=product.into_attention,
            behind_gelu=product.behind_gelu,
            bias="" if product.bias_by is not None else product.bias,
        )

    def _integers(self, node: Node) -> dict[str, int]:
        """The node's attributes that are whole numbers."""
        found = {}
        for attribute in node.others:
            if attribute.is_message(5):
                name, value = "", None
                for inner, wire, first, last in self._all(attribute.first, attribute.end):
                    if inner == 1 and wire == 2:
                        name = self._text(first, last)
                    elif inner == 3 and wire == 0:
                        value = signed(first)
                if value is not None:
                    found[name] = value
        return found

    def _described(self, where: Field) -> _Tensor:
        data_type, shape, raw = 0, [], None
        entries: dict[str, str] = {}
        for found in self._fields(where.first, where.end):
            if found.number == 1 and found.wire == 0:
                shape.append(signed(found.first))
            elif found.number == 1 and found.wire == 2:
                shape.extend(self._packed(found.first, found.end))
            elif found.number == 2 and found.wire == 0:
                data_type = found.first
            elif found.is_message(9):
                raw = found
            elif found.is_message(13):
                entries[self._name(1, found)] = self._name(2, found)
        return _Tensor(data_type, tuple(shape), raw, external(entries) if entries else None)

    def _has(self, name: str, data_types: tuple[int, ...], count: int) -> bool:
        """Whether there is a tensor of one of these types with so many numbers."""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_type not in data_types:
            return False
        size = count * _DTYPES[tensor.data_type].itemsize
        if tensor.raw is not None:
            return tensor.raw.end - tensor.raw.first == size
        return tensor.place is not None and tensor.place[2] in (None, size)

    def _numbers(self, name: str) -> npt.NDArray[Any]:
        tensor = self._tensors[name]
        dtype = _DTYPES[tensor.data_type]
        if tensor.raw is not None:
            return np.frombuffer(self._bytes(tensor.raw.first, tensor.raw.end), dtype)
        assert tensor.place is not None
        file, offset, length = tensor.place
        if length is None:
            length = int(np.prod(tensor.shape, dtype=np.int64)) * dtype.itemsize
        return np.frombuffer(self._read_outside(file, offset, length), dtype)


def _is_cast(node: Node) -> bool:
    return node.operator == "Cast" and len(node.inputs) == 1 and len(node.outputs) == 1
