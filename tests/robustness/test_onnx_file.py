"""The walk over an ONNX file says what the onnx library says, and ends whatever the bytes are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_edge.files.onnx_file import OnnxFile, read_onnx
from gpt2_edge.files.protobuf import OnnxFileError


@pytest.mark.parametrize("kind", ["package", "static", "portable"])
def test_it_says_what_the_library_says(kind: str, request: pytest.FixtureRequest) -> None:
    for path in request.getfixturevalue(kind).glob("*.onnx"):
        with path.open("rb") as file:
            found = read_onnx(file)
        assert found == read_onnx(path.read_bytes())
        model = onnx.load(path, load_external_data=False)
        graph = model.graph
        assert found.producer == model.producer_name
        assert list(found.inputs) == [entry.name for entry in graph.input]
        assert list(found.outputs) == [entry.name for entry in graph.output]
        assert found.tables == {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        assert found.operators.total() == len(graph.node)
        assert all(
            count == sum(node.op_type == name for node in graph.node)
            for name, count in found.operators.items()
        )
        locations = {
            entry.value
            for tensor in graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
        assert found.weight_files == locations
        for entry in (*graph.input, *graph.output):
            info = (found.inputs | found.outputs)[entry.name]
            kind_of = entry.type.tensor_type
            assert info.dtype == onnx.helper.tensor_dtype_to_np_dtype(kind_of.elem_type).name
            assert info.shape == tuple(
                size.dim_param or size.dim_value for size in kind_of.shape.dim
            )


def test_raw_data_is_not_read(tiny: Path) -> None:
    """A window for each tensor, not all of the file."""

    class Counted(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            self.read_bytes += len(content)
            return content

    model = onnx.load(tiny / "model.onnx")
    large = onnx.numpy_helper.from_array(np.zeros(1 << 22, np.uint8), "large")
    model.graph.initializer.append(large)
    file = Counted(model.SerializeToString())
    assert read_onnx(file).tables["large"] == (1 << 22,)
    assert file.read_bytes < 1 << 21


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no graph",
        b"\x3a",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff" * 100,
        b"\x3b" * 100,
        b"\x3a\x00" * 2,
        b"\x38\x01",
    ],
)
def test_what_is_no_graph(content: bytes) -> None:
    for source in (content, io.BytesIO(content)):
        with pytest.raises(OnnxFileError):
            read_onnx(source)


def test_a_file_of_millions_of_fields_is_given_up() -> None:
    fields = b"\x08\x01" * 2_000_000
    content = b"\x3a" + _varint(len(fields)) + fields
    with pytest.raises(OnnxFileError, match="more parts than any GPT-2"):
        read_onnx(content)
    with pytest.raises(OnnxFileError, match="more parts than any GPT-2"):
        read_onnx(io.BytesIO(content))


def test_graphs_in_graphs_are_not_followed() -> None:
    graph = b""
    for _ in range(2000):  # graph -> node (1) -> attribute (5) -> graph (6)
        for number in (6, 5, 1):
            graph = bytes([number << 3 | 2]) + _varint(len(graph)) + graph
    content = b"\x3a" + _varint(len(graph)) + graph
    with pytest.raises(OnnxFileError, match="runs a graph within the graph"):
        read_onnx(content)


def _varint(value: int) -> bytes:
    content = b""
    while value > 0x7F:
        content += bytes([value & 0x7F | 0x80])
        value >>= 7
    return content + bytes([value])


@settings(max_examples=400, derandomize=True, deadline=None)
@given(data=st.data())
def test_flipped_and_cut_bytes(tiny: Path, data: st.DataObject) -> None:
    content = bytearray((tiny / "model.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 4000))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    results: list[OnnxFile | None] = []
    for source in (bytes(content[:end]), io.BytesIO(content[:end])):
        try:
            results.append(read_onnx(source))
        except OnnxFileError:
            results.append(None)
    assert results[0] == results[1]
