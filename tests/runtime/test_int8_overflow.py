"""The processor's answer decides how ONNX Runtime multiplies signed 8-bit weights."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge.files.package import open_package
from gpt2_edge.graph import session_options as options_module
from gpt2_edge.graph.int8_overflow import signed_weights_overflow
from gpt2_edge.graph.session import Session


def test_the_probe_is_one_multiplication_of_the_largest_values() -> None:
    probe = onnx.load_from_string((files("gpt2_edge.graph") / "int8_probe.onnx").read_bytes())
    weights = numpy_helper.from_array(np.full((32, 16), 127, np.int8), "b")
    expected = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "int8_probe",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [2, 32])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [2, 16])],
        [weights],
    )
    assert probe.graph == expected


def test_the_answer_is_what_the_processor_computes() -> None:
    assert signed_weights_overflow() in (True, False)
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    if "vnni" in flags or "amx_int8" in flags:
        assert not signed_weights_overflow()
    elif "avx2" in flags:
        assert signed_weights_overflow()


@pytest.mark.parametrize("overflows", [True, False])
def test_weights_become_unsigned_only_where_signed_ones_overflow(
    sample_fp32: Path, monkeypatch: pytest.MonkeyPatch, overflows: bool
) -> None:
    monkeypatch.setattr(options_module, "signed_weights_overflow", lambda: overflows)
    options = Session(open_package(sample_fp32)).onnx.get_session_options()
    assert options.get_session_config_entry("session.x64quantprecision") == str(int(overflows))
