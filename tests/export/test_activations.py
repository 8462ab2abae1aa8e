"""Every activation that a config can name, in every graph, on values far from zero too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from gpt2_edge_export.config import ACTIVATIONS as EXPORTED
from gpt2_edge_export.onnx_builder import IR_VERSION, MICROSOFT, OPSET
from gpt2_edge_export.operators import least_activation, takes_bias, write_activation
from gpt2_edge_export.quantize.forward import _Nodes
from oracle import ACTIVATIONS

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

    from gpt2_edge_export.config import LEARNED_ACTIVATIONS

    assert ACT2CLS.keys() <= {*EXPORTED, *LEARNED_ACTIVATIONS}


@pytest.mark.optimum
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_oracle_agrees_with_transformers(name: str) -> None:
    torch = pytest.importorskip("torch")
    activations = pytest.importorskip("transformers.activations")
    theirs = activations.ACT2FN[name](torch.from_numpy(VALUES.astype(np.float64))).numpy()
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(ACTIVATIONS[name](VALUES.astype(np.float64)), theirs, atol=1e-8)
