"""The programs of examples/: started as a reader starts them, or imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

from program_file import load_program

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What `python examples/NAME ARGUMENTS` does."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )


def printed(name: str, *arguments: object, stdin: str = "") -> str:
    """Its standard output; it has to succeed."""
    process = run(name, *arguments, stdin=stdin)
    assert process.returncode == 0, process.stderr
    return process.stdout


def load(name: str) -> ModuleType:
    """The example as a module."""
    return load_program(EXAMPLES / name)
