"""A package whose manifest, graph and weights disagree is refused as it is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge import GenerationConfig, GenerationError, Generator, PackageError
from robustness.packages import a_few_ids, assert_line, change_graph, edit, list_file, refusal


def retype(name: str, kind: int, shape: list[Any]) -> Callable[[onnx.ModelProto], None]:
    """Declare an input or output otherwise."""

    def change(model: onnx.ModelProto) -> None:
        for entries in (model.graph.input, model.graph.output):
            for entry in entries:
                if entry.name == name:
                    entry.CopyFrom(helper.make_tensor_value_info(name, kind, shape))

    return change


def open_sizes(model: onnx.ModelProto) -> None:
    """Declare every size of what goes in and out as open."""
    for entry in (*model.graph.input, *model.graph.output):
        for number, size in enumerate(entry.type.tensor_type.shape.dim):
            size.dim_param = f"{entry.name}_{number}"


def rename_positions(model: onnx.ModelProto) -> None:
    """Call the position table what no export calls it."""
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("wpe.weight", "table")
    for node in model.graph.node:
        node.input[:] = [name.replace("wpe.weight", "table") for name in node.input]


@pytest.mark.parametrize("context", [65, 1024, 10_000_000])
def test_a_context_longer_than_the_position_table(package: Path, context: int) -> None:
    edit(package, lambda raw: raw["architecture"].update(context_length=context))
    assert f"has 64 positions, the manifest says context_length {context}" in refusal(package)


def test_a_context_shorter_than_the_position_table_is_fine(package: Path) -> None:
    edit(package, lambda raw: raw["architecture"].update(context_length=32))
    assert len(a_few_ids(package)) == 4


@pytest.mark.parametrize("kind", ["fused", "portable"])
def test_a_context_that_only_a_step_can_tell(package: Path, portable: Path, kind: str) -> None:
    folder = package if kind == "fused" else portable
    change_graph(folder, rename_positions)
    assert len(a_few_ids(folder)) == 4
    edit(folder, lambda raw: raw["architecture"].update(context_length=65))
    assert "does not run as the manifest says, with a context_length of 65" in refusal(folder)


def test_another_hidden_size(package: Path) -> None:
    edit(package, lambda raw: raw["architecture"].update(hidden_size=31))
    assert "has a hidden size of 32, the manifest says hidden_size 31" in refusal(package)


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("input_ids", TensorProto.INT32, ["batch", "seq"]),
        ("input_ids", TensorProto.FLOAT, ["batch", "seq"]),
        ("input_ids", TensorProto.INT64, ["seq"]),
        ("input_ids", TensorProto.INT64, ["batch", "seq", 1]),
        ("input_ids", TensorProto.INT64, [2, "seq"]),
        ("input_ids", TensorProto.INT64, ["batch", 1]),
        ("attention_mask", TensorProto.FLOAT, ["batch", "total"]),
        ("attention_mask", TensorProto.INT64, ["batch", 1, "seq", "total"]),
        ("attention_mask", TensorProto.BOOL, ["batch", "total"]),
        ("position_ids", TensorProto.INT32, ["batch", "seq"]),
        ("position_ids", TensorProto.INT64, ["seq"]),
        ("logits_to_keep", TensorProto.INT32, [1]),
        ("logits_to_keep", TensorProto.INT64, [2]),
        ("logits", TensorProto.FLOAT16, ["batch", 1, 101]),
        ("logits", TensorProto.FLOAT, ["batch", 101]),
        ("logits", TensorProto.FLOAT, ["batch", 1, 100]),
        ("past_key_values.1.value", TensorProto.FLOAT16, ["batch", 2, "past", 16]),
        ("past_key_values.1.value", TensorProto.FLOAT, ["batch", 3, "past", 16]),
        ("past_key_values.1.value", TensorProto.FLOAT, ["batch", 2, "past", 17]),
        ("past_key_values.1.value", TensorProto.FLOAT, ["batch", 2, 16]),
        ("past_key_values.1.value", TensorProto.FLOAT, []),
        ("present.0.key", TensorProto.FLOAT16, ["batch", 2, "present", 16]),
        ("present.0.key", TensorProto.FLOAT, ["batch", 2, "present", 8]),
    ],
)
def test_inputs_and_outputs_of_other_types_and_sizes(
    package: Path, name: str, kind: int, shape: list[Any]
) -> None:
    change_graph(package, retype(name, kind, shape))
    assert "model.onnx has" in refusal(package)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"vocab_size": 100}, "gives 'logits' as [1, 1, 101], the manifest says [1, 1, 100]"),
        ({"num_heads": 1, "head_size": 32}, "model.onnx"),
        ({"head_size": 24}, "model.onnx"),
    ],
)
@pytest.mark.parametrize("kind", ["fused", "portable"])
def test_a_graph_of_open_sizes_is_tried_once(
    package: Path, portable: Path, kind: str, changes: dict[str, int], said: str | None
) -> None:
    folder = package if kind == "fused" else portable
    expected = a_few_ids(folder)
    change_graph(folder, open_sizes)
    edit(folder, lambda raw: raw.update(self_test=None, eos_token_ids=[], bos_token_id=None))
    edit(folder, lambda raw: raw["architecture"].update(changes))
    if said is None:
        assert a_few_ids(folder) == expected
    else:
        assert said in refusal(folder)


def test_a_concatenating_graph_under_the_manifest_of_a_shared_one(
    package: Path, portable: Path
) -> None:
    shutil.copy(portable / "model.onnx", package / "model.onnx")
    list_file(package, "model.onnx")
    assert "has 0 of GroupQueryAttention" in refusal(package)


@pytest.mark.parametrize(("size", "value"), [("past", 32), ("past", 128), ("chunk", 16)])
def test_other_sizes_of_a_static_graph(static: Path, size: str, value: int) -> None:
    edit(static, lambda raw: raw["graph"]["static"].update({size: value}))
    edit(static, lambda raw: raw["architecture"].update(context_length=min(value, 64)))
    refusal(static)


def test_a_step_in_place_of_a_chunk(static: Path) -> None:
    edit(static, lambda raw: raw["graph"]["static"].update(chunk_file="model.onnx"))
    assert "model.onnx" in refusal(static)


def test_names_that_are_used_twice(package: Path) -> None:
    names = {"past_key": "p.{i}1", "past_value": "p.1{i}"}  # p.11 both
    edit(package, lambda raw: raw["graph"]["names"].update(names))

    def change(model: onnx.ModelProto) -> None:
        old = {f"past_key_values.{i}.key": f"p.{i}1" for i in (0, 1)}
        old |= {f"past_key_values.{i}.value": f"p.1{i}" for i in (0, 1)}
        for entry in model.graph.input:
            entry.name = old.get(entry.name, entry.name)

    change_graph(package, change)
    assert "has names that the manifest uses twice" in refusal(package)


def test_a_step_that_fails_is_one_line(package: Path) -> None:
    """A graph that only fails where it gets to the twentieth token."""

    def fail_late(model: onnx.ModelProto) -> None:
        small = numpy_helper.from_array(np.zeros(20, np.int64), "small")
        model.graph.initializer.append(small)
        node = helper.make_node("Gather", ["small", "position_ids"], ["zeros\n\x1b[2J"])
        add = helper.make_node("Add", ["zeros\n\x1b[2J", "input_ids"], ["checked_ids"])
        for other in model.graph.node:
            other.input[:] = [n.replace("input_ids", "checked_ids") for n in other.input]
        model.graph.node.insert(0, add)
        model.graph.node.insert(0, node)

    change_graph(package, fail_late)
    generator = Generator.load(package)
    assert generator.logits([1] * 20).shape == (20, 101)
    for run in (generator.logits, generator.generate, generator.next_tokens):
        with pytest.raises(PackageError) as raised:
            run([1] * 21)
        message = assert_line(raised.value)
        assert "model.onnx cannot be run on cpu: ONNX Runtime" in message


def test_a_step_of_a_static_package_that_fails_is_one_line(
    static: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of\nmemory")

    session = Generator.load(static).session
    sequence = session.start(10)
    monkeypatch.setattr(type(session.onnx), "run", fail)
    with pytest.raises(PackageError, match=r"cannot be run on cpu: .* out of memory"):
        sequence.feed([1, 2])


def test_a_cache_that_no_memory_holds_is_one_line(package: Path) -> None:
    """Enough positions that their table is small beside the cache of all of them."""
    generator = Generator.load(package)
    architecture = generator.manifest.architecture
    object.__setattr__(architecture, "context_length", 1 << 50)
    long = GenerationConfig(max_new_tokens=1 << 45)
    for run in (lambda: generator.session.start(1 << 45), lambda: generator.generate([1], long)):
        with pytest.raises(
            GenerationError, match=r"no memory for .* tokens; ask for fewer"
        ) as raised:
            run()
        assert_line(raised.value)
