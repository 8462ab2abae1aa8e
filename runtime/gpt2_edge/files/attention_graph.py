"""A package's graph as one that gives attention's weights: its bytes, edited.

GroupQueryAttention has an output that is off by default: what its softmax gave. The nodes that lead
to attention stay as they are; the output is switched on in every layer and becomes the graph's, in
place of the logits and the cache. What comes behind the last attention goes, with its weights.

`onnx_edit.py` says what is trusted: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from gpt2_edge.files.onnx_edit import MOST_NODES, Field, Node, OnnxEdit, attribute, message, text
from gpt2_edge.files.protobuf import OnnxFileError

ATTENTION = "GroupQueryAttention"
_SWITCH, _AFTER_SOFTMAX = "qk_output", 2
_PAST_KEY, _WEIGHTS = 3, 3  # numbers of the operator's input and of its output


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


class _Edit(OnnxEdit):
    def __init__(
        self, source: BinaryIO | bytes, past_keys: Sequence[str], file_name: str | None
    ) -> None:
        super().__init__(source)
        self._layers = {name: layer for layer, name in enumerate(past_keys)}
        self._file_name = file_name

    def _graph(self, start: int, end: int) -> bytes:
        nodes: list[Node] = []
        others: list[Field] = []
        for found in self._fields(start, end):
            if found.is_message(1):
                nodes.append(self._node(found))
                if len(nodes) > MOST_NODES:
                    raise OnnxFileError("it has more nodes than any GPT-2")
            elif found.number != 12:  # the outputs
                others.append(found)
        layers, needed = self._needed(nodes)
        parts = []
        for number, node in enumerate(nodes):
            if number in layers:
                parts.append(message(1, self._switched_on(node, layers[number])))
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
        parts += [message(12, text(1, weights_name(i))) for i in range(len(layers))]
        return b"".join(parts)

    def _needed(self, nodes: list[Node]) -> tuple[dict[int, int], set[str]]:
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

    def _layer(self, node: Node) -> int:
        past = node.inputs[_PAST_KEY] if len(node.inputs) > _PAST_KEY else ""
        if past not in self._layers:
            raise OnnxFileError(f"it has a {ATTENTION} that is of no layer")
        return self._layers[past]

    def _switched_on(self, node: Node, layer: int) -> bytes:
        """The content of an attention node that gives its weights."""
        outputs = [*node.outputs, "", "", ""][:_WEIGHTS]
        parts = [text(1, name) for name in node.inputs]
        parts += [text(2, name) for name in (*outputs, weights_name(layer))]
        for found in node.others:
            if not (found.is_message(5) and self._name(1, found) == _SWITCH):
                parts.append(self._whole(found))
        return b"".join([*parts, message(5, attribute(_SWITCH, _AFTER_SOFTMAX))])
