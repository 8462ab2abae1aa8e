"""A graph may compute for hours, in tensors that are small: whoever waits can end that."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cli.command import COMMAND
from cli.started import started
from gpt2_edge.graph.check import onnxruntime_is_before
from robustness.packages import change_graph

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def slow(model: onnx.ModelProto) -> None:
    """A thousand products of 54 billion operations each, computed while it is loaded."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([3000, 3000]), "sizes"))
    value = numpy_helper.from_array(np.array([1e-4], np.float32))
    nodes = [helper.make_node("ConstantOfShape", ["sizes"], ["power_0"], value=value)]
    nodes += [
        helper.make_node("MatMul", [f"power_{time}", "power_0"], [f"power_{time + 1}"])
        for time in range(1000)
    ]
    nodes.append(helper.make_node("ReduceMax", ["power_1000"], ["slow"], keepdims=0))
    graph.node.extend(nodes)
    last = next(node for node in graph.node if "logits" in node.output)
    last.output[list(last.output).index("logits")] = "early"
    graph.node.append(helper.make_node("Add", ["early", "slow"], ["logits"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_graph_that_takes_hours(package: Path, number: signal.Signals) -> None:
    change_graph(package, slow)
    with started(*COMMAND, "generate", package, "--ids", "5", "-n", "2") as process:
        while processor_seconds(process.pid) < 3 and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(number)
        words = b"gpt2-edge: interrupted\n" if number == signal.SIGINT else b""
        expected = (b"", words, 128 + number)
        if onnxruntime_is_before("1.31"):
            expected = (b"", b"", -number)  # Python's lock is kept, so it is the kernel's doing
        assert (*process.communicate(timeout=20), process.returncode) == expected


def processor_seconds(process: int) -> float:
    """Time that `process` has computed, of all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")
