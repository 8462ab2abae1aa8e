"""A small writer of ONNX graphs that streams weights to disk as they come."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
IR_VERSION = 10  # what ONNX Runtime 1.23, the oldest supported, reads
MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx_data"  # the name that optimum writes and transformers.js looks for
# Weights up to this size are put into model.onnx itself: one file is easier to ship. Larger ones
# load faster memory-mapped, without a copy of what is read as it is (docs/ARCHITECTURE.md).
EMBED_LIMIT = 32 << 20
# Weights smaller than this (shape constants, biases of tiny models) never leave the graph.
_INLINE_BYTES = 1024
_ALIGNMENT = 4096  # of external tensors, so that they can be memory-mapped page by page
MICROSOFT = "com.microsoft"


class OnnxBuilder:
    """Collects nodes, and appends weights to DATA_FILE in `folder`; `close` it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = (folder / DATA_FILE).open("wb")
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, TensorProto] = {}

    def sibling(self) -> OnnxBuilder:
        """A builder of another graph over the same weights; both are saved with `embed` False."""
        other = copy.copy(self)
        other._nodes, other._inputs, other._outputs = [], [], []
        return other

    def close(self) -> None:
        """Let go of DATA_FILE; `save` does so too."""
        self._data.close()

    def input(self, name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> str:
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> None:
        self._outputs.append(_value_info(name, dtype, shape))

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        name: str,
        *,
        outputs: Sequence[str] = (),
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node and return its first output, which is called `name` unless `outputs` says."""
        results = list(outputs) or [name]
        self._nodes.append(
            helper.make_node(op_type, list(inputs), results, name=name, domain=domain, **attributes)
        )
        return results[0]

    def has_weight(self, name: str) -> bool:
        return name in self._initializers

    def has_node(self, name: str) -> bool:
        return any(node.name == name for node in self._nodes)

    def weight_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._initializers[name].dims)

    def weight_of(self, name: str, read: Callable[[str], npt.ArrayLike]) -> str:
        """Like `weight`, reading the value only if it is not there yet."""
        return name if self.has_weight(name) else self.weight(name, read(name))

    def weight(self, name: str, value: npt.ArrayLike) -> str:
        """Add the initializer `name` unless it is there already, and return the name."""
        if name in self._initializers:
            return name
        array = np.ascontiguousarray(value)
        if array.nbytes < _INLINE_BYTES:
            self._initializers[name] = numpy_helper.from_array(array, name)
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            self._external(name, kind, array.shape, array.reshape(-1).view(np.uint8).data)
        return name

    def tensor(self, name: str, value: TensorProto) -> str:
        """Like `weight`, for types that NumPy has not: a TensorProto with raw_data."""
        if name in self._initializers:
            return name
        if len(value.raw_data) < _INLINE_BYTES:
            value.name = name
            self._initializers[name] = value
        else:
            self._external(name, value.data_type, value.dims, memoryview(value.raw_data))
        return name

    def _external(self, name: str, kind: int, shape: Sequence[int], content: memoryview) -> None:
        tensor = TensorProto(
            name=name, dims=shape, data_type=kind, data_location=TensorProto.EXTERNAL
        )
        self._data.write(bytes(-self._data.tell() % _ALIGNMENT))
        entries = {"location": DATA_FILE, "offset": self._data.tell(), "length": content.nbytes}
        for key, entry in entries.items():
            tensor.external_data.add(key=key, value=str(entry))
        self._data.write(content)
        self._initializers[name] = tensor

    def save(
        self,
        graph_name: str,
        producer_version: str,
        file: str = MODEL_FILE,
        *,
        embed: bool = True,
    ) -> list[str]:
        """Write `file`, and DATA_FILE where the weights are too large to be put into it.

        embed: False leaves the weights in DATA_FILE whatever their size. Returns the names of the
        files written.
        """
        self._data.flush()
        used = {name for node in self._nodes for name in node.input}
        graph = helper.make_graph(
            self._nodes,
            graph_name,
            self._inputs,
            self._outputs,
            [tensor for name, tensor in self._initializers.items() if name in used],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=IR_VERSION,
            producer_name="gpt2-edge",
            producer_version=producer_version,
        )
        data_path = self._folder / DATA_FILE
        embedded = embed and data_path.stat().st_size <= EMBED_LIMIT
        if embedded:
            self._data.close()
            onnx.load_external_data_for_model(model, str(self._folder))
            data_path.unlink()
        onnx.save(model, str(self._folder / file))
        return [file] if embedded else [file, DATA_FILE]


def _value_info(name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape)
    )
