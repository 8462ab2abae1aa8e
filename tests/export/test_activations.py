"""Every activation that a config can name, in every graph, on values far from zero too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from gpt2_edge import Generator
from gpt2_edge_export.calibrate.forward import Forward, _Nodes
from gpt2_edge_export.checkpoint.config import ACTIVATIONS as EXPORTED
from gpt2_edge_export.checkpoint.config import parse_config
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.graph.onnx_builder import IR_VERSION, MICROSOFT, OPSET
from gpt2_edge_export.graph.operators import (
    least_activation,
    takes_bias,
    write_activation,
)
from helpers import random_config, write_random_checkpoint
from oracle import ACTIVATIONS, Oracle

# Both ends of what is clipped at 6 and at 10, and values whose exponential is infinite.
VALUES = np.concatenate(
    [np.linspace(-12, 12, 2401), [-1e4, -200, -100, -50, 50, 100, 200, 1e4]]
).astype(np.float32)
DIALECTS = {"fused": {"fused": True}, "portable": {}, "static": {"basic": True}}


def run(name: str, dialect: dict[str, bool], x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    nodes = _Nodes()
    write_activation(nodes, name, "x", "y", **dialect)
    values = [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n"]) for key in "xy"]
    graph = helper.make_graph(nodes.nodes, "activation", values[:1], values[1:])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: npt.NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_formula(name: str, dialect: str) -> None:
    with np.errstate(over="ignore"):
        expected = ACTIVATIONS[name](VALUES.astype(np.float64))
    actual = run(name, DIALECTS[dialect], VALUES)
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_lower_bound(name: str) -> None:
    least = least_activation(name)
    with np.errstate(over="ignore"):
        lowest = ACTIVATIONS[name](np.linspace(-12, 12, 100_001)).min()
    if least is None:
        assert lowest < -0.01
    else:
        assert least <= lowest < least + 1e-3


NEW_FORMULAS = ["gelu_10", "laplace", "leaky_relu", "linear", "mish", "relu2", "relu6", "sigmoid"]


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"recipe": "fp16", "compute_dtype": "float16"}, 0.02),
        ({"recipe": "int8-row"}, 0.1),
        ({"recipe": "int8", "flavour": "portable"}, 0.1),
    ],
    ids=["float16", "by row", "portable"],
)
@pytest.mark.parametrize("name", NEW_FORMULAS)
def test_in_graphs_of_other_formats(
    tmp_path: Path, name: str, options: dict[str, Any], tolerance: float
) -> None:
    config = random_config(activation_function=name)
    source = write_random_checkpoint(tmp_path / "c", config)
    chosen = ExportOptions(tokenizer=False, **options)
    package = export_package(source, tmp_path / "package", chosen).package
    ids = list(range(24))
    expected = Oracle.load(source).logits(ids)
    difference = Generator.load(package.folder).logits(ids) - expected
    assert np.sqrt(np.mean(difference**2)) < tolerance * expected.std()


@pytest.mark.parametrize("name", NEW_FORMULAS)
def test_calibration_computes_it_too(name: str) -> None:
    x = np.random.default_rng(0).normal(0, 4, (2, 3, 128)).astype(np.float32)
    config = parse_config(random_config(activation_function=name), Path("config.json"))
    np.testing.assert_allclose(Forward(config).activation(x), ACTIVATIONS[name](x), atol=2e-5)


def test_the_table_is_the_oracles() -> None:
    assert ACTIVATIONS.keys() == EXPORTED.keys()


def test_a_bias_is_added_where_one_operator_does_both() -> None:
    assert {name for name in EXPORTED if takes_bias(name)} == {
        "gelu_new",
        "gelu_pytorch_tanh",
        "gelu_python_tanh",
        "gelu_accurate",
        "gelu_fast",
    }


@pytest.mark.optimum
def test_every_activation_of_transformers_is_known() -> None:
    pytest.importorskip("transformers")
    from transformers.activations import ACT2CLS

    from gpt2_edge_export.checkpoint.config import LEARNED_ACTIVATIONS

    assert ACT2CLS.keys() <= {*EXPORTED, *LEARNED_ACTIVATIONS}


@pytest.mark.optimum
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_oracle_agrees_with_transformers(name: str) -> None:
    torch = pytest.importorskip("torch")
    activations = pytest.importorskip("transformers.activations")
    theirs = activations.ACT2FN[name](torch.from_numpy(VALUES.astype(np.float64))).numpy()
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(ACTIVATIONS[name](VALUES.astype(np.float64)), theirs, atol=1e-8)
