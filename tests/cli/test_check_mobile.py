"""gpt2-edge check-mobile, and info --provider."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from cli.command import Cli
from gpt2_edge import Generator

Export = Callable[..., Path]


def test_static_matrix_products_are_all_taken(cli: Cli, random_package: Export) -> None:
    result = cli("check-mobile", random_package(flavour="static"))
    lines = [line for line in result.stdout.splitlines() if " on " in line]
    assert len(lines) == 6  # two graphs on three providers
    for line in lines:
        taken, total = line.rsplit(", ", 1)[1].split(" ")[0:3:2]
        assert taken == total
        assert int(total) >= 9
    assert "model.onnx on NNAPI" in lines[0]
    nodes = lines[0].split(": ")[1].split(" ")
    assert nodes[0] == nodes[2]
    assert "  not checked: ai.onnx:Gather: Input indices should be constant" in result.stdout


def test_fused_products_are_not(cli: Cli, random_package: Export) -> None:
    result = cli("check-mobile", random_package("int4"))
    assert "com.microsoft:MatMulNBits is not in its list" in result.stdout


@pytest.mark.parametrize("flavour", ["fused", "static"])
def test_ort_format_computes_the_same(
    cli: Cli, random_package: Export, tmp_path: Path, flavour: str
) -> None:
    folder = random_package(flavour=flavour)
    result = cli("check-mobile", folder, "--ort", tmp_path / "ort")
    assert result.returncode == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "ort").iterdir())
    graphs = ["model.ort", "model.prefill.ort"] if flavour == "static" else ["model.ort"]
    assert names == [*graphs, "required_operators.config"]
    assert "#" not in (tmp_path / "ort" / names[-1]).read_text("utf-8")
    if flavour == "fused":
        expected = Generator.load(folder).logits([1, 2, 3])[-1]
        session = ort.InferenceSession(tmp_path / "ort" / "model.ort")
        empty = np.zeros((1, 2, 0, 16), np.float32)
        feeds = {
            entry.name: empty for entry in session.get_inputs() if entry.name.startswith("past")
        } | {
            "input_ids": np.array([[1, 2, 3]]),
            "attention_mask": np.ones((1, 3), np.int64),
            "position_ids": np.array([[0, 1, 2]]),
        }
        np.testing.assert_allclose(session.run(["logits"], feeds)[0][0, 0], expected, atol=1e-5)


def test_an_ort_folder_is_not_overwritten(cli: Cli, random_package: Export, tmp_path: Path) -> None:
    result = cli("check-mobile", random_package(), "--ort", tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"gpt2-edge: {tmp_path} is there already; give another folder\n"


def test_info_says_what_a_provider_takes(cli: Cli, random_package: Export) -> None:
    result = cli("info", random_package(), "--provider", "cpu")
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("provider")]
    assert line.startswith("provider   cpu; nodes: ")
    assert line.endswith(" by cpu")


def test_flavour_and_target_from_the_command_line(
    cli: Cli, random_package: Export, tmp_path: Path
) -> None:
    checkpoint = random_package().parent / "checkpoint"
    common = ["--no-tokenizer", "--recipe", "fp32"]
    result = cli("export", checkpoint, "-o", tmp_path / "npu", "--target", "npu", *common)
    assert result.returncode == 0, result.stderr
    assert "static, host cache" in cli("info", tmp_path / "npu").stdout
    result = cli("export", checkpoint, "-o", tmp_path / "x", "--target", "toaster")
    assert result.returncode == 2
    assert "'toaster' is not one of cpu, cuda, web, mobile, npu" in result.stderr
