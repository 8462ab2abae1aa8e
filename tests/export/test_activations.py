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
from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.calibrate.forward import Forward, _Nodes
from gpt2_edge_export.checkpoint.activations import ACTIVATIONS as EXPORTED
from gpt2_edge_export.checkpoint.activations import Activation
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.graph.onnx_builder import IR_VERSION, MICROSOFT, OPSET
from gpt2_edge_export.graph.operators import (
    least_activation,
    takes_bias,
    write_activation,
)
from gpt2_edge_export.quantize import RoundedWeights
from helpers import LEARNED as SHAPES
from helpers import (
    assert_one_line,
    random_config,
    random_tensors,
    write_checkpoint,
    write_random_checkpoint,
)
from oracle import ACTIVATIONS, ALL_ACTIVATIONS, LEARNED, Oracle

# Both ends of what is clipped at 6 and at 10, and values whose exponential is infinite.
VALUES = np.concatenate(
    [np.linspace(-12, 12, 2401), [-1e4, -200, -100, -50, 50, 100, 200, 1e4]]
).astype(np.float32)
# Signs and sizes that a layer may have learned; the first are those that transformers begins with.
NUMBERS: list[tuple[str, dict[str, float]]] = [
    ("prelu", {"weight": 0.25}),
    ("prelu", {"weight": -1.5}),
    ("xielu", {"alpha_p": 0.2032, "alpha_n": -1.0502, "beta": 0.5, "eps": -1e-6}),
    ("xielu", {"alpha_p": -3.0, "alpha_n": 40.0, "beta": -0.25, "eps": 0.0}),
    ("xielu", {"alpha_p": 0.0, "alpha_n": -40.0, "beta": 1.0, "eps": 1.0}),
]
DIALECTS = {"fused": {"fused": True}, "portable": {}, "static": {"basic": True}}


def run(
    activation: Activation, dialect: dict[str, bool], x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    nodes = _Nodes()
    write_activation(nodes, activation, "x", "y", **dialect)
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
    actual = run(Activation(name), DIALECTS[dialect], VALUES)
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("name", "learned"), NUMBERS)
def test_learned_formula(name: str, learned: dict[str, float], dialect: str) -> None:
    values = np.concatenate([VALUES, np.float32([-1e-5, -1e-6, -1e-7, 1e-7, 1e-6])])
    expected = LEARNED[name](values.astype(np.float64), learned)
    actual = run(Activation(name, learned), DIALECTS[dialect], values)
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=4e-6)


@pytest.mark.parametrize("name", LEARNED)
def test_what_is_learned_has_no_lower_bound_that_is_known(name: str) -> None:
    assert least_activation(name) is None


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
NEW_FORMULAS += LEARNED


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
def test_calibration_computes_it_too(tmp_path: Path, name: str) -> None:
    x = np.random.default_rng(0).normal(0, 4, (2, 3, 128)).astype(np.float32)
    source = write_random_checkpoint(tmp_path / "c", random_config(activation_function=name))
    weights, oracle = RoundedWeights(open_checkpoint(source)), Oracle.load(source)
    forward = Forward(weights.config)
    for layer in (0, 1, 0):
        actual = forward.activation(weights, x, layer)
        np.testing.assert_allclose(actual, oracle.activate(x, layer), rtol=1e-6, atol=2e-5)


def test_the_table_is_the_oracles() -> None:
    assert set(ALL_ACTIVATIONS) == EXPORTED.keys()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"eps": np.float32(-0.5)}, "eps of -0.5"),
        ({"alpha_n": np.zeros(128, np.float32)}, "h.1.mlp.act.alpha_n' has shape [128]"),
        ({"beta": None}, "h.1.mlp.act.beta is missing"),
        ({"alpha_p": np.float32([np.nan])}, "1 NaN"),
    ],
    ids=["eps", "shape", "missing", "nan"],
)
def test_what_was_learned_is_checked(
    tmp_path: Path, changed: dict[str, np.ndarray | None], message: str
) -> None:
    config = random_config(activation_function="xielu")
    tensors = random_tensors(config)
    for name, value in changed.items():
        del tensors[f"h.1.mlp.act.{name}"]
        if value is not None:
            tensors[f"h.1.mlp.act.{name}"] = np.asarray(value)
    source = write_checkpoint(tmp_path / "c", config, tensors)
    with pytest.raises(CheckpointError) as caught:
        export_package(source, tmp_path / "p", ExportOptions(recipe="fp32", tokenizer=False))
    assert_one_line(caught.value, message)
    assert not (tmp_path / "p").exists()


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

    assert ACT2CLS.keys() <= EXPORTED.keys()


@pytest.mark.optimum
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_oracle_agrees_with_transformers(name: str) -> None:
    torch = pytest.importorskip("torch")
    activations = pytest.importorskip("transformers.activations")
    theirs = activations.ACT2FN[name](torch.from_numpy(VALUES.astype(np.float64))).numpy()
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(ACTIVATIONS[name](VALUES.astype(np.float64)), theirs, atol=1e-8)


@pytest.mark.optimum
@pytest.mark.parametrize(("name", "learned"), NUMBERS)
def test_oracle_agrees_with_transformers_on_what_is_learned(
    name: str, learned: dict[str, float]
) -> None:
    torch = pytest.importorskip("torch")
    activations = pytest.importorskip("transformers.activations")
    theirs = activations.ACT2FN[name]
    if name == "prelu":  # xielu's numbers stay bfloat16, however a model is loaded
        theirs = theirs.double()
    assert {key: tuple(value.shape) for key, value in theirs.state_dict().items()} == {
        key.removeprefix("mlp.act."): shape for key, shape in SHAPES[name].items()
    }
    theirs.load_state_dict(
        {
            key: torch.tensor(value).reshape(SHAPES[name][f"mlp.act.{key}"])
            for key, value in learned.items()
        }
    )
    with torch.no_grad():
        expected = theirs(torch.from_numpy(VALUES.astype(np.float64))).numpy()
    actual = LEARNED[name](VALUES.astype(np.float64), learned)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
