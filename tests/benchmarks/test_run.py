"""The benchmark's own parts, without its minutes of measuring."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gpt2_edge import Generator
from gpt2_edge.files.package import open_package
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script benchmarks/`name`.py as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_a_random_checkpoint_is_one_that_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load("random_checkpoint", monkeypatch)
    monkeypatch.setitem(script.SHAPES, "tiny", (2, 2, 32))
    checkpoint = open_checkpoint(script.write_random_checkpoint("tiny", tmp_path / "tiny"))
    assert (checkpoint.config.n_layer, checkpoint.config.n_head) == (2, 2)
    assert checkpoint.tensor("wte.weight").std() == pytest.approx(0.02, rel=0.01)
    assert (checkpoint.tensor("ln_f.weight") == 1).all()
    again = open_checkpoint(script.write_random_checkpoint("tiny", tmp_path / "again"))
    assert (again.tensor("h.1.mlp.c_fc.weight") == checkpoint.tensor("h.1.mlp.c_fc.weight")).all()


def test_what_the_decoder_gives_is_measured(
    sample_fp32: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load("decoder", monkeypatch)
    for name, value in (("PROMPT", 4), ("NEW", 6), ("BATCHES", (2,)), ("TURNS", 3), ("TEXTS", 5)):
        monkeypatch.setattr(script, name, value)
    model = Generator.load(sample_fp32, provider="cpu")
    onnx = model.session.onnx
    medians = {name: measure() for name, measure in script.measurements(model, model).items()}
    assert all(value > 0 for value in medians.values())
    assert medians["outside the graph"] < 1
    assert model.session.onnx is onnx
    assert script.same_texts(model) == (5, 5)  # fp32
    read, said = script.chat(model)
    assert 0 < read <= said  # what was said last is read with the next turn
    script.print_table("tiny", medians)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(medians)
    assert f"{medians['batch of 2'] / medians['one text']:.2f} x one text" in "".join(rows)


def test_kernels_are_told_apart_and_counted(
    sample_int4: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load("kernels", monkeypatch)
    for name, value in (("STEPS", 3), ("WARM_UP_STEPS", 1), ("PROMPTS", 2)):
        monkeypatch.setattr(script, name, value)
    package = open_package(sample_int4)
    step, prompt = script.step(package, 20, 1), script.prompt(package, 512, 1)
    products = "MatMulNBits 256 x 768, 4 bits", "MatMulNBits 256 x 8192, 8 bits"
    layers, head = (step.kernels[name] for name in products)
    assert (layers.nodes, layers.weights) == (6, 6 * 256 * 768 / 2)
    assert (head.nodes, head.weights) == (1, 256 * 8192)
    assert layers.operations == 6 * 2 * 256 * 768
    assert head.operations == 2 * 256 * 8192
    in_prompt, head_in_prompt = (prompt.kernels[name] for name in products)
    # In two parts: weights are read for each, and the head sees the last token of each.
    assert in_prompt.weights == 2 * layers.weights
    assert in_prompt.operations == 512 * layers.operations
    assert head_in_prompt.operations == 2 * head.operations
    for profile in step, prompt:
        alone = sum(kernel.microseconds for kernel in profile.kernels.values())
        assert 0 < alone <= profile.microseconds
    script.print_table("tiny", step)
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert rows[-1][0] == "| between kernels"
    assert sum(float(row[2]) for row in rows[2:]) == pytest.approx(step.microseconds / 1e3, abs=0.1)


def test_the_table_has_a_row_for_each_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load("run", monkeypatch)
    calls: list[tuple[str, ...]] = []

    def gpt2_edge(*arguments: str) -> str:
        calls.append(arguments)
        speed = {"fp32": 50.0, "int8": 100.0, "int4": 200.0, "optimum-fp32": 25.0}
        recipe = arguments[1].partition("124M-")[2]
        figures = {
            "load_seconds": 0.5,
            "first_token_seconds": 0.01,
            "prefill": {"128": 1000.0, "512": 900.0},
            "decode": {"128": speed.get(recipe, 1.0), "900": 40.0},
            "peak_memory_bytes": 1e9,
            "package_bytes": 70e6,
        }
        return json.dumps(figures)

    monkeypatch.setattr(run, "gpt2_edge", gpt2_edge)
    monkeypatch.setattr(run, "write_random_checkpoint", lambda shape, folder: folder)
    monkeypatch.setattr(sys, "argv", ["run.py", "--work", str(tmp_path), "--rounds", "2"])
    run.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    stock = ["optimum fp32"] if importlib.util.find_spec("optimum") else []
    int8, int4 = ("int8 blocks", "int8-row", "int8"), ("int4 plain", "int4", "int4-small")
    names = [*stock, "fp32", *int8, *int4]
    assert [row.split("|")[1].strip() for row in rows[2:]] == names
    int4_row = rows[2 + names.index("int4")]
    assert int4_row.split("|")[-2].strip() == ("8.00" if stock else "4.00")
    assert sum(arguments[0] == "bench" for arguments in calls) == 2 * len(names)
