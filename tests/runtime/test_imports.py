"""The runtime needs numpy and onnxruntime, takes tokenizers where it is, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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
    runtime = imported_by("from gpt2_edge import Generator")
    assert {"numpy", "onnxruntime", "tokenizers", "gpt2_edge"} <= runtime
    assert runtime - dependencies == {"gpt2_edge"}


WITHOUT_TOKENIZERS = "import sys; sys.modules['tokenizers'] = None; from gpt2_edge import Generator"


def test_without_tokenizers_the_runtime_imports_two() -> None:
    # None among sys.modules is what import takes for a module that is not there.
    modules = imported_by(f"{WITHOUT_TOKENIZERS}; del sys.modules['tokenizers']")
    dependencies = imported_by("import numpy, onnxruntime")
    assert modules - dependencies == {"gpt2_edge"}


def test_a_broken_tokenizers_library_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "tokenizers.py").write_text("import no_such_module_of_its_own")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import gpt2_edge.text.backend"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "no_such_module_of_its_own" in process.stderr.splitlines()[-1]


def test_the_runtime_imports_nothing_of_the_exporter() -> None:
    heavy = {"onnx", "torch", "safetensors", "transformers", "gpt2_edge_export"}
    assert not heavy & imported_by(
        "import gpt2_edge.generate, gpt2_edge.measure.benchmark, gpt2_edge.measure.selftest"
    )


def test_importing_the_package_imports_nothing_else() -> None:
    assert imported_by("import gpt2_edge") - imported_by("pass") == {"gpt2_edge"}


def test_the_command_imports_nothing_else_for_its_help() -> None:
    modules = imported_by(
        "from gpt2_edge_cli.main import build_parser; build_parser().format_help()"
    )
    assert modules - imported_by("pass") <= {"gpt2_edge", "gpt2_edge_export", "gpt2_edge_cli"}


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    code = (
        "import os, sys, gpt2_edge\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    for given, expected in ((None, "1"), ("0", "0")):
        environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        environment |= {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
        shown = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        assert shown.stdout.strip() == expected


def test_the_command_begins_no_threads_of_openblas() -> None:
    code = (
        "import os, sys; sys.argv = ['gpt2-edge', *sys.argv[1:]]\n"
        "from gpt2_edge_cli.main import main\n"
        "main()\n"
        "print(os.environ.get('OPENBLAS_NUM_THREADS'))"
    )
    usual = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    for arguments, given, expected in (
        (["completion", "bash"], {}, "1"),
        (["completion", "bash"], {"OPENBLAS_NUM_THREADS": "3"}, "3"),
        (["export", "none/such/folder"], {}, "None"),
    ):
        command = [sys.executable, "-c", code, *arguments]
        process = subprocess.run(command, env=usual | given, capture_output=True, text=True)
        assert process.stdout.splitlines()[-1] == expected
