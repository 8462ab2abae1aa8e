"""A small writer of ONNX graphs that streams weights to disk as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
IR_VERSION = 10  # what ONNX Runtime 1.23, the oldest supported, reads
MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"
# Weights up to this size are put into model.onnx itself: one file is easier to ship. Larger ones
# load faster memory-mapped (124M in fp32: 0.4 s instead of 1.6 s), and protobuf ends at 2 GB.
EMBED_LIMIT = 256 << 20
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

    def weight(self, name: str, value: npt.ArrayLike) -> str:
        """Add the initializer `name` unless it is there already, and return the name."""
        if name in self._initializers:
            return name
        array = np.ascontiguousarray(value)
        if array.nbytes < _INLINE_BYTES:
            tensor = numpy_helper.from_array(array, name)
        else:
            tensor = TensorProto(
                name=name,
                dims=array.shape,
                data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
                data_location=TensorProto.EXTERNAL,
            )
            self._data.write(bytes(-self._data.tell() % _ALIGNMENT))
            entries = {
                "location": DATA_FILE,
                "offset": self._data.tell(),
                "length": array.nbytes,
            }
            for key, entry in entries.items():
                tensor.external_data.add(key=key, value=str(entry))
            self._data.write(array.reshape(-1).view(np.uint8).data)
        self._initializers[name] = tensor
        return name

    def save(self, graph_name: str, producer_version: str) -> list[str]:
        """Write MODEL_FILE, and DATA_FILE where the weights are too large to be put into it.

        Returns the names of the files written.
        """
        self._data.close()
        graph = helper.make_graph(
            self._nodes, graph_name, self._inputs, self._outputs, list(self._initializers.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=IR_VERSION,
            producer_name="gpt2-edge",
            producer_version=producer_version,
        )
        data_path = self._folder / DATA_FILE
        embedded = data_path.stat().st_size <= EMBED_LIMIT
        if embedded:
            onnx.load_external_data_for_model(model, str(self._folder))
            data_path.unlink()
        onnx.save(model, str(self._folder / MODEL_FILE))
        return [MODEL_FILE] if embedded else [MODEL_FILE, DATA_FILE]


def _value_info(name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape)
    )
