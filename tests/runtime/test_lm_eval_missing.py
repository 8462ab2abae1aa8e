"""The adapter for lm-evaluation-harness where the harness is not installed."""

from __future__ import annotations

import subprocess
import sys

from cli.command import ENVIRONMENT

# None in sys.modules makes an import fail, whether or not the package is there.
WITHOUT = "import runpy, sys; sys.modules['lm_eval'] = None; "
MESSAGE = "pip install '.[lm-eval]' in a clone"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, env=ENVIRONMENT
    )


def test_importing_it_names_what_is_missing() -> None:
    process = python("import gpt2_edge.measure.lm_eval_adapter")
    last = process.stderr.splitlines()[-1]
    assert last.startswith("gpt2_edge.errors.MissingDependencyError: lm-evaluation-harness is")
    assert MESSAGE in last


def test_running_it_is_one_line() -> None:
    process = python("runpy.run_module('gpt2_edge.measure.lm_eval_adapter', run_name='__main__')")
    assert process.returncode == 2
    assert process.stderr.startswith("gpt2-edge: ")
    assert process.stderr.count("\n") == 1
    assert MESSAGE in process.stderr


def test_the_command_and_the_scores_do_not_need_it() -> None:
    process = python("import gpt2_edge.measure.score, gpt2_edge_cli.main as c; c.build_parser()")
    assert (process.returncode, process.stderr) == (0, "")
