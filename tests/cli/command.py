"""Running the command as its users do: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

Completed = subprocess.CompletedProcess[str]

COMMAND = [sys.executable, "-m", "gpt2_edge"]
# UTF-8 whatever the machine's locale; the hub is never asked.
ENVIRONMENT = os.environ | {
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8:strict",
    "HF_HUB_OFFLINE": "1",
}


class Cli(Protocol):
    """Run `gpt2-edge` with some arguments, and optionally text on standard input."""

    def __call__(self, *arguments: object, stdin: str | bytes = "") -> Completed: ...


class Output(Protocol):
    """Like Cli, where the test is about one of the two outputs only."""

    def __call__(self, *arguments: object, stdin: str | bytes = "") -> str: ...


def run(*arguments: object, stdin: str | bytes = "", cwd: Path) -> Completed:
    process = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        env=ENVIRONMENT,
        cwd=cwd,
    )
    out, err = process.stdout.decode(), process.stderr.decode()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
