"""Graphs that would run for ever are refused before they are loaded; optimized ones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge import Generator
from robustness.packages import a_few_ids, change_graph, list_file, refusal


def rounds_without_end(model: onnx.ModelProto) -> None:
    """Between the logits and the rest of the graph, a Loop of 2^62 rounds that changes nothing."""
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[list(last.output).index("logits")] = "early"
    values = [
        helper.make_tensor_value_info("round", TensorProto.INT64, []),
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
    ]
    results = [
        helper.make_tensor_value_info("still", TensorProto.BOOL, []),
        helper.make_tensor_value_info("same", TensorProto.FLOAT, None),
    ]
    nodes = [
        helper.make_node("Identity", ["go_on"], ["still"]),
        helper.make_node("Identity", ["carried"], ["same"]),
    ]
    body = helper.make_graph(nodes, "body", values, results)
    model.graph.initializer.append(numpy_helper.from_array(np.array(1 << 62), "rounds"))
    loop = helper.make_node("Loop", ["rounds", "", "early"], ["logits"], body=body)
    model.graph.node.append(loop)


def test_a_loop_is_refused(package: Path) -> None:
    change_graph(package, rounds_without_end)
    message = refusal(package)
    assert f"{package / 'model.onnx'} cannot be loaded" in message
    assert "it has a node 'Loop', which runs a graph within the graph" in message
    assert refusal(package, verify=False) == message


def test_a_function_is_refused(package: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.functions.add(name="Relu", domain="").node.add(op_type="Relu")

    change_graph(package, change)
    assert "functions" in refusal(package)


def test_operators_of_another_library_are_refused(package: Path) -> None:
    change_graph(package, lambda model: model.graph.node.add(op_type="Gelu", domain="a\x1b[2J\n"))
    assert "operators of another library" in refusal(package)


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED", "ALL"])
@pytest.mark.parametrize("kind", ["package", "portable"])
def test_a_graph_that_onnx_runtime_optimized_loads(
    kind: str, level: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    expected = a_few_ids(folder)
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(
        ort.GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}"
    )
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    (folder / "optimized.onnx").replace(folder / "model.onnx")
    list_file(folder, "model.onnx")
    assert Generator.load(folder).package.folder == folder
    assert a_few_ids(folder) == expected
