"""The README's commands and its Python, run in order as a newcomer would: in a clean copy of the
repository, in a new environment. Slow (it installs twice), so only `make test-readme` runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PERCENT = re.compile(r"^ *([\d.]+)%", re.MULTILINE)
# The README says "about": another processor rounds otherwise.
PERCENTAGE_POINTS = 4.0
LONGEST = 1200  # seconds that a command may take


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that the README shows."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip("\n"), ""))
        else:
            assert found, f"output before a command: {line!r}"
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def blocks() -> list[tuple[str, str]]:
    """Language and content of the README's fenced blocks that can be run."""
    found = FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [(language, content) for language, content in found if language in ("console", "python")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, as they are now."""
    folder = tmp_path_factory.mktemp("readme") / "gpt2-edge"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """A new virtual environment, active; nothing of this one shines through."""
    folder = clone.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VENV", "PYTHON")
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    return variables | {
        "VIRTUAL_ENV": str(folder),
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }


def test_the_commands_of_the_readme_do_what_it_says(
    clone: Path, environment: dict[str, str]
) -> None:
    ran = 0
    for language, content in blocks():
        steps = commands(content) if language == "console" else [("python -", "")]
        for command, expected in steps:
            if command.startswith("gpt2-edge serve"):
                answers(command, clone, environment)
                ran += 1
                continue
            process = subprocess.run(
                ["bash", "-euc", command],
                input=content if language == "python" else "",
                cwd=clone,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LONGEST,
            )
            assert process.returncode == 0, f"$ {command}\n{process.stdout}\n{process.stderr}"
            ran += 1
            if expected:
                assert words(process.stdout) == words(expected), process.stdout
                for printed, said in zip(
                    PERCENT.findall(process.stdout), PERCENT.findall(expected), strict=True
                ):
                    assert abs(float(printed) - float(said)) < PERCENTAGE_POINTS, process.stdout
    assert ran >= 6


def answers(command: str, clone: Path, environment: dict[str, str]) -> None:
    """Run a command that serves until it is told to end: its page and its health are there."""
    process = subprocess.Popen(
        ["bash", "-euc", f"exec {command} --port 0"],
        cwd=clone,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    ending = threading.Timer(LONGEST, process.kill)
    ending.start()
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://[\d.:]+", line)
        assert address, line + process.stderr.read()
        for path in ("/", "/health"):
            with urllib.request.urlopen(address[0] + path, timeout=LONGEST) as answer:
                assert answer.status == 200
        process.terminate()
        assert process.wait(LONGEST) == 128 + signal.SIGTERM
    finally:
        ending.cancel()
        process.kill()
        process.wait()


def words(output: str) -> list[str]:
    """The quoted words of an output, in any order: near equal ones may change places."""
    return sorted(re.findall(r'"[^"]*"', output))
