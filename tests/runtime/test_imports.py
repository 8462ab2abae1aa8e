"""The runtime needs numpy, onnxruntime and tokenizers, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

LIST_MODULES = (
    "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules}"
    " - set(sys.stdlib_module_names))))"
)


def imported_by(statement: str) -> set[str]:
    """Top-level modules outside the standard library behind `statement` in a new process."""
    code = f"{statement}; {LIST_MODULES}"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(process.stdout))


def test_the_runtime_imports_its_three_dependencies_only() -> None:
    dependencies = imported_by("import numpy, onnxruntime, tokenizers, tokenizers.decoders")
    runtime = imported_by("import gpt2_edge")
    assert {"numpy", "onnxruntime", "tokenizers", "gpt2_edge"} <= runtime
    assert runtime - dependencies == {"gpt2_edge"}


def test_the_runtime_imports_nothing_of_the_exporter() -> None:
    heavy = {"onnx", "torch", "safetensors", "transformers", "gpt2_edge_export"}
    assert not heavy & imported_by("import gpt2_edge, gpt2_edge.benchmark, gpt2_edge.selftest")


def test_the_command_imports_nothing_heavy_for_its_help() -> None:
    modules = imported_by("from gpt2_edge.cli import build_parser; build_parser().format_help()")
    # gpt2_edge itself imports the three; the exporter's own dependencies wait for its run
    assert not {"onnx", "torch", "safetensors", "transformers", "tqdm"} & modules
