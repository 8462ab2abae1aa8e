"""ExportOptions, and the package gpt2_edge_export itself."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2_edge_export
from byte_model import write_byte_checkpoint
from gpt2_edge.errors import ExportError, GPT2EdgeError, MissingDependencyError
from gpt2_edge_export import ExportOptions, ExportReport, export_package
from helpers import assert_one_line, random_config, random_tensors, write_checkpoint


@pytest.mark.parametrize(
    "given",
    [
        {"recipe": 4},
        {"recipe": None},
        {"engine": ["fused"]},
        {"tokenizer": 1},
        {"tokenizer": b"folder"},
        {"block_size": "32"},
        {"block_size": 32.0},
        {"block_size": True},
        {"activation_function": 1},
        {"calibration": 0},
        {"calibration": ["a.txt"]},
        {"report_text": True},
        {"report": "no"},
        {"report": None},
        {"max_kl": "0.1"},
        {"max_kl": True},
        {"max_kl": 0},
        {"max_megabytes": float("nan")},
        {"max_megabytes": -1},
        {"max_kl": 10**400},
        {"cache_dtype": np.float16},
        {"flavour": 0},
        {"past": 1.5},
        {"compute_dtype": None},
        {"force": 1},
        {"recipe": "\x1b[2J" * 1000},
        {"engine": "\n"},
        {"flavour": "\n"},
        {"cache_dtype": "\n"},
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_wrong_value_is_one_line(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ExportError) as caught:
        export_package(tmp_path, tmp_path / "package", ExportOptions(**given))
    assert_one_line(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_options_of_another_type_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export_package(tmp_path, tmp_path / "package", {"recipe": "int8"})  # type: ignore[arg-type]
    assert_one_line(caught.value, "ExportOptions")


def test_paths_may_be_text_and_numbers_numpys(tmp_path: Path) -> None:
    options = ExportOptions(
        tokenizer="a", calibration="b", report_text="c", block_size=np.int64(32), max_kl=1
    )
    paths = (options.tokenizer, options.calibration, options.report_text)
    assert paths == (Path("a"), Path("b"), Path("c"))
    assert (type(options.block_size), options.block_size) == (int, 32)


def test_true_is_what_is_done_anyway(tmp_path: Path) -> None:
    assert ExportOptions(calibration=True, tokenizer=True) == ExportOptions()
    checkpoint = write_byte_checkpoint(tmp_path / "model")
    packages = [
        export_package(
            checkpoint, tmp_path / str(value), ExportOptions(calibration=value, report=False)
        ).package
        for value in (True, None, False)
    ]
    hashes = [package.manifest.files["model.onnx"].sha256 for package in packages]
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_is_exported_is_there() -> None:
    assert set(gpt2_edge_export.__all__) <= set(dir(gpt2_edge_export))
    assert gpt2_edge_export.export_package is export_package
    assert gpt2_edge_export.ExportReport is ExportReport
    with pytest.raises(AttributeError, match="nothing"):
        gpt2_edge_export.nothing  # noqa: B018


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys, gpt2_edge_export\n"
        "assert not {'numpy', 'onnx', 'onnxruntime', 'tokenizers'} & set(sys.modules)\n"
        "from gpt2_edge_export import export_package\n"
        "assert 'onnx' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gpt2_edge_export.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(gpt2_edge_export, "export", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError) as caught:
        gpt2_edge_export.export_package  # noqa: B018
    assert_one_line(caught.value, "onnx", "pip install '.[export]'")


@pytest.mark.parametrize("value", [7e4, 1e10, 1e20, 3e38, -3e38])
@pytest.mark.parametrize("name", ["wpe.weight", "h.1.attn.c_attn.weight", "h.0.ln_1.weight"])
@pytest.mark.parametrize("recipe", ["fp16", "int8", "int4"])
def test_numpy_warns_of_nothing(tmp_path: Path, name: str, value: float, recipe: str) -> None:
    tensors = random_tensors(random_config())
    tensors[name].flat[::7] = value
    write_checkpoint(tmp_path / "model", random_config(), tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            export_package(
                tmp_path / "model", tmp_path / "p", ExportOptions(recipe, tokenizer=False)
            )
        except GPT2EdgeError as error:
            assert_one_line(error)
        else:
            assert (tmp_path / "p").exists()


@pytest.mark.parametrize("value", [1e5, 1e19, 3e38])
@pytest.mark.parametrize("name", ["wte.weight", "h.1.mlp.c_fc.weight", "ln_f.weight"])
def test_calibration_of_absurd_weights_is_one_line_or_a_package(
    tmp_path: Path, name: str, value: float
) -> None:
    write_byte_checkpoint(tmp_path / "model")
    config = random_config(vocab_size=257, bos_token_id=256, eos_token_id=256)
    tensors = random_tensors(config)
    tensors[name].flat[::5] = value
    write_checkpoint(tmp_path / "model", config, tensors)
    report = tmp_path / "report.txt"
    report.write_text("the rain in Spain " * 30, "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            export_package(tmp_path / "model", tmp_path / "p", ExportOptions(report_text=report))
        except GPT2EdgeError as error:
            assert_one_line(error)
            assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "report.txt"]
