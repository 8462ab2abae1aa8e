"""New environments beside the tests' own, and commands in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def outside() -> dict[str, str]:
    """The environment variables of a command that is to see nothing of this checkout."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def run(*command: object, cwd: Path = ROOT) -> str:
    """What `command` prints; it has to succeed."""
    process = subprocess.run(
        [*map(str, command)], cwd=cwd, env=outside(), capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    return process.stdout


def new_environment(folder: Path, *arguments: str) -> Path:
    """The Python of a new virtual environment in `folder`."""
    run(sys.executable, "-m", "venv", *arguments, folder)
    return folder / "bin" / "python"


def clean_copy(folder: Path) -> Path:
    """The files that git knows, as they are now, in `folder`."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder
