"""A graph cannot take the machine's memory: the command's process is bounded."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cli.command import COMMAND, ENVIRONMENT
from gpt2_edge.files.manifest_file import read_manifest
from gpt2_edge_cli import memory_bound
from robustness.packages import change_graph

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux counts private memory")
GB = 1 << 30
# ONNX Runtime 1.23 computes what is constant while it loads, and does not say how much that takes.
NO_MEMORY = r"there is no memory for (a tensor of [0-9,]+ MB|its tensors)"
_ONE_AND_A_HALF = numpy_helper.from_array(np.array([1.5], np.float32))


def constant(model: onnx.ModelProto) -> None:
    """10^9 numbers, however long the text is."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([10**9]), "count"))
    node = helper.make_node("ConstantOfShape", ["count"], ["large"], value=_ONE_AND_A_HALF)
    append(model, node)


def doubled(model: onnx.ModelProto) -> None:
    """The tokens 2^30 times, by putting a tensor behind itself."""
    nodes = [helper.make_node("Cast", ["input_ids"], ["once"], to=TensorProto.FLOAT)]
    names = ["once", *(f"twice_{time}" for time in range(29)), "large"]
    nodes += [
        helper.make_node("Concat", [name, name], [following], axis=1)
        for name, following in itertools.pairwise(names)
    ]
    append(model, *nodes)


def outer(model: onnx.ModelProto) -> None:
    """40,000 rows by 40,000 columns, one of which depends on the text."""
    for name, shape in (("column", (40_000, 1)), ("row", (1, 40_000))):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["ids"], ["largest"], keepdims=0),
        helper.make_node("Add", ["row", "largest"], ["shifted"]),
        helper.make_node("Add", ["column", "shifted"], ["large"]),
    ]
    append(model, *nodes)


def growing(model: onnx.ModelProto) -> None:
    """The 12th power of the length: little for the first step, 10 GB behind six tokens."""
    model.graph.initializer.append(numpy_helper.from_array(np.float32(12), "power"))
    nodes = [
        helper.make_node("Shape", ["attention_mask"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["length"], to=TensorProto.FLOAT),
        helper.make_node("Pow", ["length", "power"], ["many"]),
        helper.make_node("Cast", ["many"], ["count"], to=TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["count"], ["large"], value=_ONE_AND_A_HALF),
    ]
    append(model, *nodes)


def append(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Compute `large` by `nodes`, and have the logits depend on it without changing."""
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[list(last.output).index("logits")] = "early"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    model.graph.node.extend(nodes)
    model.graph.node.append(helper.make_node("ReduceMax", ["large"], ["most"], keepdims=0))
    model.graph.node.append(helper.make_node("Mul", ["most", "nothing"], ["none"]))
    model.graph.node.append(helper.make_node("Add", ["early", "none"], ["logits"]))


def command(*arguments: object) -> tuple[int, str, str, int]:
    """Status, output, words and the most memory (bytes) of a run of the command."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()  # a few lines: no pipe is full
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, out, err, usage.ru_maxrss << 10


@pytest.mark.parametrize("change", [constant, doubled, outer, growing])
def test_a_graph_that_asks_for_too_much_is_one_line(
    package: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    change_graph(package, change)
    arguments = ["generate", package, "--ids", "5,7,3", "-n", "8", "--ignore-eos", "--threads", "2"]
    code, out, err, most = command(*arguments)
    assert code == 2
    assert (out == "") == (change is not growing)  # that one writes some tokens before
    assert re.fullmatch(rf"gpt2-edge: .*/model\.onnx .* {NO_MEMORY}.*\n", err)
    assert most < 2 * GB


def test_what_was_written_before_stays(package: Path) -> None:
    change_graph(package, growing)
    code, out, _, _ = command("generate", package, "--ids", "5", "-n", "8", "--ignore-eos")
    assert code == 2
    assert len(out.split(",")) >= 2
    assert out.endswith("\n")


@pytest.mark.parametrize(
    "arguments", [["info", "--provider", "cpu"], ["bench"], ["verify"]], ids=lambda found: found[0]
)
def test_whatever_loads_it_is_bounded(package: Path, arguments: list[str]) -> None:
    change_graph(package, constant)
    verb, *options = arguments
    code, _, err, most = command(verb, package, *options)
    assert code == 2
    assert re.search(NO_MEMORY, err)
    assert most < 2 * GB


def in_a_process_of_its_own(program: str, *arguments: object, before: str = "") -> list[str]:
    """Lines that `program` prints with what the command's own process has."""
    head = f"""
import resource, sys
{before}
from gpt2_edge_cli import memory_bound
from gpt2_edge_cli.signals import Signals
limit = lambda: resource.getrlimit(resource.RLIMIT_DATA)[0]
"""
    process = subprocess.run(
        [sys.executable, "-c", head + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.splitlines()


def test_the_bound_is_what_the_process_has_and_a_package_needs(package: Path) -> None:
    lines = in_a_process_of_its_own(
        """
with Signals(own_process=True):
    memory_bound.while_loading(sys.argv[1], threads=1)
    print(limit())
    memory_bound.lift()
    print(limit())
""",
        package,
    )
    assert GB < int(lines[0]) < 1.5 * GB
    assert lines[1] == "-1"


def test_two_packages_have_room_beside_each_other(package: Path, sample_int4: Path) -> None:
    """A model and its assistant: the second, small one does not bound the first."""
    lines = in_a_process_of_its_own(
        """
from pathlib import Path
from gpt2_edge.files.manifest_file import read_manifest
manifests = [read_manifest(Path(path)) for path in sys.argv[1:]]
with Signals(own_process=True):
    for path, manifest in zip(sys.argv[1:], manifests):
        memory_bound.while_loading(path, threads=1)
        print(limit())
        memory_bound.while_running(manifest, threads=1)
        print(limit())
print(*(memory_bound.needed(manifest) for manifest in manifests))
""",
        sample_int4,
        package,
    )
    loading, running, second_loading, second_running = map(int, lines[:4])
    first, second = map(int, lines[4].split())
    assert loading < running
    assert second_loading > running
    assert second_running > first + second


def test_a_limit_that_the_user_has_set_stays(package: Path) -> None:
    lines = in_a_process_of_its_own(
        """
with Signals(own_process=True):
    memory_bound.while_loading(sys.argv[1])
    print(limit())
    memory_bound.lift()
    print(limit())
""",
        package,
        before="resource.setrlimit(resource.RLIMIT_DATA, (900_000_000, -1))",
    )
    assert lines == ["900000000", "900000000"]


def test_another_program_s_process_is_left_alone(package: Path) -> None:
    program = """
from gpt2_edge_cli import main
print(main.main(["generate", sys.argv[1], "--ids", "5", "-n", "1"]), limit())
"""
    assert in_a_process_of_its_own(program, package)[-1] == "0 -1"


def test_the_checkpoint_of_verify_has_room(package: Path) -> None:
    """It is read whole, by another library, in the process that was bounded for the package."""
    lines = in_a_process_of_its_own(
        """
from dataclasses import dataclass
from gpt2_edge_cli.main import main
from gpt2_edge_export.measure import verify

@dataclass
class Compared:
    agrees: bool = True
    def describe(self):
        return f"limit {limit()}"

verify.compare_with_transformers = lambda *_: Compared()
main()
""",
        "verify",
        package,
        "--reference",
        package,
    )
    assert "limit -1" in lines


def test_holes_of_a_file_count_for_nothing(tmp_path: Path) -> None:
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(100 * GB)
    lines = in_a_process_of_its_own(
        """
with Signals(own_process=True):
    memory_bound.while_loading(sys.argv[1], threads=1)
    print(limit())
""",
        tmp_path,
    )
    assert int(lines[0]) < 1.5 * GB


def test_a_whole_context_has_room(sample_int4: Path) -> None:
    """16 rows, the most that are decoded at one time, with their logits and attention."""
    manifest = read_manifest(sample_int4)
    rows = 16 * 2 * 6 * 512 * 256 * 4
    logits, attention = 512 * 8192 * 4, 6 * 4 * 512 * 512 * 4
    assert memory_bound.needed(manifest) > GB + 2 * rows + 4 * logits + attention
