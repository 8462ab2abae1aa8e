"""The edited graph that gives attention's weights: odd and hostile graphs end in one line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_edge import GenerationError, Generator, GPT2EdgeError
from gpt2_edge.files.attention_graph import ATTENTION, attention_graph, weights_name
from gpt2_edge.files.protobuf import OnnxFileError
from robustness.packages import Change, assert_line, change_graph

IDS = [5, 7, 3, 11]
PAST_KEYS = ["past_key_values.0.key", "past_key_values.1.key"]


def attentions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == ATTENTION]


def at(model: onnx.ModelProto, node: onnx.NodeProto) -> int:
    return next(i for i, other in enumerate(model.graph.node) if other is node or other == node)


def what_it_says(package: Path) -> str:
    """The line with which attention is refused."""
    generator = Generator.load(package)
    lines = set()
    for _ in range(2):
        with pytest.raises(GPT2EdgeError) as raised:
            generator.attention(IDS)
        lines.add(assert_line(raised.value))
    (line,) = lines
    assert str(package / "model.onnx") in line
    return line


@pytest.mark.parametrize("moved", [False, True])
def test_the_edited_graph_is_the_library_s(tiny: Path, moved: bool) -> None:
    path = tiny / "model.onnx"
    with path.open("rb") as file:
        content = attention_graph(file, PAST_KEYS, path.name if moved else None)
    assert moved or content == attention_graph(path.read_bytes(), PAST_KEYS)
    before, after = onnx.load(path), onnx.load_from_string(content)
    onnx.checker.check_model(before)
    assert (after.ir_version, after.opset_import) == (before.ir_version, before.opset_import)
    assert [entry.name for entry in after.graph.output] == [weights_name(0), weights_name(1)]
    assert [entry.name for entry in after.graph.input] == [
        entry.name for entry in before.graph.input if entry.name != "logits_to_keep"
    ]
    # Each node is one of before, and attention differs by its output alone.
    nodes = {node.name or node.output[0]: node for node in before.graph.node}
    for node in after.graph.node:
        old = onnx.NodeProto()
        old.CopyFrom(nodes[node.name or node.output[0]])
        if node.op_type == ATTENTION:
            old.output.append(weights_name(attentions(after).index(node)))
            old.attribute.append(onnx.helper.make_attribute("qk_output", 2))
        assert node == old
    assert after.graph.node[-1].op_type == ATTENTION
    assert len(before.graph.node) - len(after.graph.node) >= 8  # the last MLP and the head
    # No tensor is there that is not read, and those that stay outside lie where they lay.
    tensors = {tensor.name: tensor for tensor in before.graph.initializer}
    read = {name for node in after.graph.node for name in node.input}
    assert {tensor.name for tensor in after.graph.initializer} == read & tensors.keys()
    raw = path.read_bytes()
    outside = 0
    for tensor in after.graph.initializer:
        old_raw = tensors[tensor.name].raw_data
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            outside += 1
            place = {entry.key: entry.value for entry in tensor.external_data}
            assert place.pop("location") == "model.onnx"
            start = int(place["offset"])
            assert raw[start : start + int(place["length"])] == old_raw
            assert len(old_raw) > 1024
        else:
            assert tensor == tensors[tensor.name]
    assert (outside > 0) == moved


def set_switch(model: onnx.ModelProto, *values: int) -> None:
    for node in attentions(model):
        node.attribute.extend(onnx.helper.make_attribute("qk_output", v) for v in values)


def give_scores_already(model: onnx.ModelProto) -> None:
    set_switch(model, 1)
    for node in attentions(model):
        node.output.append(f"{node.name}.scores")


def out_of_order(model: onnx.ModelProto) -> None:
    """The layers' caches are called the other way round: that is what says which layer it is."""
    other = {"0": "1", "1": "0"}
    for node in attentions(model):
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name.startswith(("past_key_values", "present")):
                    first, layer, last = name.split(".")
                    names[i] = f"{first}.{other[layer]}.{last}"


@pytest.mark.parametrize(
    "change", [lambda m: set_switch(m, 0), lambda m: set_switch(m, 1, 0), give_scores_already]
)
def test_what_the_graph_says_of_the_switch_does_not_count(package: Path, change: Change) -> None:
    expected = Generator.load(package).attention(IDS)
    model = onnx.load(package / "model.onnx")
    change(model)
    edited = onnx.load_from_string(attention_graph(model.SerializeToString(), PAST_KEYS))
    for layer, node in enumerate(attentions(edited)):
        switches = [entry.i for entry in node.attribute if entry.name == "qk_output"]
        assert switches == [2]
        assert node.output[3:] == [weights_name(layer)]
    change_graph(package, lambda m: set_switch(m, 0))
    np.testing.assert_array_equal(Generator.load(package).attention(IDS), expected)


def test_layers_are_told_by_their_caches(package: Path) -> None:
    expected = Generator.load(package).attention(IDS)
    change_graph(package, out_of_order)
    np.testing.assert_array_equal(Generator.load(package).attention(IDS), expected[::-1])


def test_thousands_of_nodes(package: Path) -> None:
    expected = Generator.load(package).attention(IDS)

    def change(model: onnx.ModelProto) -> None:
        first = model.graph.node[0]
        before = first.input[0]
        for i in range(3000):
            name = f"chain.{i}"
            node = onnx.helper.make_node("Identity", [before], [name], f"n{i}")
            model.graph.node.insert(i, node)
            before = name
        model.graph.node[3000].input[0] = before

    change_graph(package, change)
    np.testing.assert_array_equal(Generator.load(package).attention(IDS), expected)


def test_an_output_that_is_left_out_is_nobody_s_input(tiny: Path) -> None:
    model = onnx.load(tiny / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("Dropout", ["logits"], ["dropped", ""]))
    assert "" in attentions(model)[0].input
    edited = onnx.load_from_string(attention_graph(model.SerializeToString(), PAST_KEYS))
    assert edited.graph.node[-1].op_type == ATTENTION


def rename_past(model: onnx.ModelProto) -> None:
    node = attentions(model)[1]
    copied = onnx.helper.make_node("Identity", [node.input[3]], ["copied"])
    node.input[3] = "copied"
    model.graph.node.insert(0, copied)


def twice(model: onnx.ModelProto) -> None:
    node = attentions(model)[1]
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    copied.name += ".again"
    copied.output[:] = [f"{name}.again" for name in node.output]
    model.graph.node.insert(at(model, node) + 1, copied)


def take_the_name(model: onnx.ModelProto) -> None:
    model.graph.node.insert(
        0, onnx.helper.make_node("Identity", ["attention_mask"], [weights_name(1)])
    )
    shape = next(node for node in model.graph.node if "attention_mask" in node.input[:1])
    reader = next(n for n in model.graph.node[1:] if "attention_mask" in n.input)
    assert shape
    for i, name in enumerate(reader.input):
        if name == "attention_mask":
            reader.input[i] = weights_name(1)


def more_heads(model: onnx.ModelProto) -> None:
    for node in attentions(model):
        for entry in node.attribute:
            if entry.name == "num_heads":
                entry.i *= 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rename_past, "GroupQueryAttention that is of no layer"),
        (twice, "GroupQueryAttention twice in a layer"),
        (take_the_name, "cannot be loaded"),
    ],
)
def test_graphs_that_are_refused(package: Path, change: Change, expected: str) -> None:
    change_graph(package, change)
    Generator.load(package).generate(IDS, max_new_tokens=2)
    assert expected in what_it_says(package)


def spoil(model: onnx.ModelProto) -> None:
    """Numbers that are none, in the first layer's keys."""
    for tensor in model.graph.initializer:
        if tensor.name == "h.0.ln_1.weight":
            tensor.raw_data = np.full(32, np.nan, np.float32).tobytes()


def look_ahead(model: onnx.ModelProto) -> None:
    for node in attentions(model):
        node.attribute.append(onnx.helper.make_attribute("causal", 0))


def sink(model: onnx.ModelProto) -> None:
    for node in attentions(model):
        node.attribute.append(onnx.helper.make_attribute("smooth_softmax", 1))


@pytest.mark.parametrize("change", [spoil, sink])
def test_weights_that_are_no_shares(package: Path, change: Change) -> None:
    change_graph(package, change)
    assert "no shares of one" in what_it_says(package)


def test_attention_that_looks_ahead(package: Path) -> None:
    """ONNX Runtime before 1.27 or so does not know such; either way it is one line."""
    change_graph(package, look_ahead)
    with pytest.raises(GPT2EdgeError) as raised:
        Generator.load(package).attention(IDS)
    assert_line(raised.value)


def test_heads_that_the_manifest_does_not_say(package: Path) -> None:
    """Nothing is written past the end of what was made for the manifest's heads."""
    model = onnx.load(package / "model.onnx")
    more_heads(model)
    content = attention_graph(model.SerializeToString(), PAST_KEYS)
    assert content
    change_graph(package, more_heads)
    with pytest.raises(GPT2EdgeError) as raised:
        Generator.load(package, verify=False).attention(IDS)
    assert_line(raised.value)


@pytest.mark.parametrize(
    ("past_keys", "expected"),
    [
        ([*PAST_KEYS, "past_key_values.2.key"], "no GroupQueryAttention in layer 2"),
        (PAST_KEYS[:1], "of no layer"),
        ([], "of no layer"),
    ],
)
def test_layers_that_are_missing_or_too_many(
    tiny: Path, past_keys: list[str], expected: str
) -> None:
    with pytest.raises(OnnxFileError, match=expected):
        attention_graph((tiny / "model.onnx").read_bytes(), past_keys)


def _graph_of(content: bytes) -> bytes:
    return b"\x3a" + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    content = b""
    while value > 0x7F:
        content += bytes([value & 0x7F | 0x80])
        value >>= 7
    return content + bytes([value])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\x01",
        b"no graph",
        b"\x3a",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        _graph_of(b"\x08\x01" * 2_000_000),  # fields
        _graph_of(b"\x0a\x00" * 2_000_000),  # empty nodes
        _graph_of(b"\x0a\x80\x80\x80\x01" + b"\x0a\x00" * 0x100000),  # a node of a million inputs
        _graph_of(b"\x0a\x89\x80\x01\x0a\x85\x80\x01" + b"x" * 0x4005),  # a long name
    ],
)
def test_what_is_no_graph_of_ours(content: bytes) -> None:
    for source in (content, io.BytesIO(content)):
        with pytest.raises(OnnxFileError):
            attention_graph(source, PAST_KEYS, "model.onnx")


@settings(max_examples=200, derandomize=True, deadline=None)
@given(data=st.data())
def test_flipped_and_cut_bytes(tiny: Path, data: st.DataObject) -> None:
    content = bytearray((tiny / "model.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 8000))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    results: list[bytes | None] = []
    for source in (bytes(content[:end]), io.BytesIO(content[:end])):
        try:
            results.append(attention_graph(source, PAST_KEYS))
        except OnnxFileError:
            results.append(None)
    assert results[0] == results[1]


def test_a_stock_folder_has_none(stock: Path) -> None:
    generator = Generator.load(stock)
    assert not generator.gives_attention
    with pytest.raises(GenerationError) as raised:
        generator.attention(IDS)
    assert "export the checkpoint with --flavour fused" in assert_line(raised.value)
