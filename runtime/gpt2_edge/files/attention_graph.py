"""A package's graph as one that gives attention's weights: its bytes, edited.

GroupQueryAttention has an output that is off by default: what its softmax gave. The nodes that lead
to attention stay as they are; the output is switched on in every layer and becomes the graph's, in
place of the logits and the cache. What comes behind the last attention goes, with its weights.

Field numbers are those of onnx.proto (ONNX 1.17); the rest is as in `onnx_file.py`: nothing of the
file is trusted, and what is not understood is copied or refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from gpt2_edge.files.protobuf import OnnxFileError, ProtobufFile

ATTENTION = "GroupQueryAttention"
_SWITCH, _AFTER_SOFTMAX = "qk_output", 2
_INT, _EXTERNAL = 2, 1  # of AttributeProto.AttributeType and TensorProto.DataLocation
_PAST_KEY, _WEIGHTS = 3, 3  # numbers of the operator's input and of its output
# Of larger tensors the new graph only says where in the file they lie.
_INLINE = 1 << 10
_MOST_NODES = 50_000  # an optimum graph of 48 layers has 4,000


class _Field(NamedTuple):
    """A field of a message: it begins with its key at `start`, its content at `first`."""

    number: int
    wire: int
    start: int
    first: int
    end: int

    def is_message(self, number: int) -> bool:
        """Whether it is field `number` and has a length: a message, text, or bytes."""
        return self.number == number and self.wire == 2


def weights_name(layer: int) -> str:
    """The output of the edited graph that has a layer's weights, [batch, heads, tokens, tokens]."""
    return f"gpt2_edge.attention.{layer}"


def attention_graph(
    source: BinaryIO | bytes, past_keys: Sequence[str], file_name: str | None = None
) -> bytes:
    """The ONNX file `source` (open, or its content) as a graph with the outputs `weights_name`.

    past_keys: the input with each layer's keys, by which its operator is found. file_name: what the
    file is called; tensors then stay in it, and the result refers to them there.

    Raises OnnxFileError where an operator of a layer is missing or there are several, and for what
    is no ONNX file; OSError where reading fails.
    """
    return _Edit(source, past_keys, file_name).edited()


@dataclass
class _Node:
    """A node: what it reads and writes, and where each of its other fields lies."""

    start: int
    end: int
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    others: list[_Field] = field(default_factory=list)


class _Edit(ProtobufFile):
    def __init__(
        self, source: BinaryIO | bytes, past_keys: Sequence[str], file_name: str | None
    ) -> None:
        super().__init__(source)
        self._layers = {name: layer for layer, name in enumerate(past_keys)}
        self._file_name = file_name

    def edited(self) -> bytes:
        parts = []
        graphs = 0
        for found in self._fields(0, self._end):
            if found.is_message(7):
                graphs += 1
                parts.append(_message(7, self._graph(found.first, found.end)))
            else:
                parts.append(self._whole(found))
        if graphs != 1:
            raise OnnxFileError("it holds no ONNX graph")
        return b"".join(parts)

    def _graph(self, start: int, end: int) -> bytes:
        nodes: list[_Node] = []
        others: list[_Field] = []
        for found in self._fields(start, end):
            if found.is_message(1):
                nodes.append(self._node(found))
                if len(nodes) > _MOST_NODES:
                    raise OnnxFileError("it has more nodes than any GPT-2")
            elif found.number != 12:  # the outputs
                others.append(found)
        layers, needed = self._needed(nodes)
        parts = []
        for number, node in enumerate(nodes):
            if number in layers:
                parts.append(_message(1, self._switched_on(node, layers[number])))
            elif not needed.isdisjoint(node.outputs):
                parts.append(self._bytes(node.start, node.end))
        for found in others:
            # Tensors and inputs that nothing reads any more go; the tensors may be large.
            if found.is_message(5):
                if self._name(8, found) in needed:
                    parts.append(self._tensor(found))
            elif not found.is_message(11) or self._name(1, found) in needed:
                parts.append(self._whole(found))
        # Only names: ONNX Runtime finds out their types.
        parts += [_message(12, _text(1, weights_name(i))) for i in range(len(layers))]
        return b"".join(parts)

    def _needed(self, nodes: list[_Node]) -> tuple[dict[int, int], set[str]]:
        """The layer of each node that is an attention, and all that these read, on any way."""
        layers: dict[int, int] = {}
        needed: set[str] = set()
        for number in reversed(range(len(nodes))):  # a node stands behind those that it reads
            node = nodes[number]
            if node.operator == ATTENTION:
                layers[number] = self._layer(node)
            elif needed.isdisjoint(node.outputs):
                continue
            needed.update(node.inputs)
            needed.discard("")  # an input that is left out; outputs may be, too
        missing = set(self._layers.values()).difference(layers.values())
        if missing:
            raise OnnxFileError(f"it has no {ATTENTION} in layer {min(missing)}")
        if len(layers) > len(self._layers):
            raise OnnxFileError(f"it has {ATTENTION} twice in a layer")
        return layers, needed

    def _layer(self, node: _Node) -> int:
        past = node.inputs[_PAST_KEY] if len(node.inputs) > _PAST_KEY else ""
        if past not in self._layers:
            raise OnnxFileError(f"it has a {ATTENTION} that is of no layer")
        return self._layers[past]

    def _node(self, where: _Field) -> _Node:
        node = _Node(where.start, where.end)
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

    def _switched_on(self, node: _Node, layer: int) -> bytes:
        """The content of an attention node that gives its weights."""
        outputs = [*node.outputs, "", "", ""][:_WEIGHTS]
        parts = [_text(1, name) for name in node.inputs]
        parts += [_text(2, name) for name in (*outputs, weights_name(layer))]
        for found in node.others:
            if not (found.is_message(5) and self._name(1, found) == _SWITCH):
                parts.append(self._whole(found))
        switch = _text(1, _SWITCH) + _number(3, _AFTER_SOFTMAX) + _number(20, _INT)
        return b"".join([*parts, _message(5, switch)])

    def _tensor(self, where: _Field) -> bytes:
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
            parts.append(_message(13, _text(1, key) + _text(2, str(value))))
        return _message(5, b"".join([*parts, _number(14, _EXTERNAL)]))

    def _name(self, number: int, where: _Field) -> str:
        """The text that is field `number` of a message: its name."""
        name = ""
        for inner, first, last in self._messages(where.first, where.end):
            if inner == number:
                name = self._text(first, last)
        return name

    def _fields(self, start: int, end: int) -> Iterator[_Field]:
        for number, wire, first, last in self._all(start, end):
            yield _Field(number, wire, start, first, last)
            start = last

    def _whole(self, where: _Field) -> bytes:
        return self._bytes(where.start, where.end)

    def _bytes(self, start: int, end: int) -> bytes:
        self._cover(start, end)
        return self._window[start - self._base : end - self._base]


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
