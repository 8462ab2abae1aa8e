"""The commands and the Python of the README and of docs/, run in the site's order.

As a newcomer would: in a clean copy of the repository, in a new environment. Slow (it installs
several times), so only `make test-readme` runs it. A block that is not run says so in its title,
which readers see.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)(.*)\n((?s:.*?))^```$", re.MULTILINE)
NOT_RUN = re.compile(r' title="Not run by the tests: [^"]+"')
# Where `gpt2-edge serve` is in the docs; here it takes a free port.
SERVED_AT = "http://127.0.0.1:8080"
PERCENT = re.compile(r"^ *([\d.]+)%", re.MULTILINE)
# The pages say "about": another processor rounds otherwise.
PERCENTAGE_POINTS = 4.0
PYTHON = "python -"
PACKAGE = "sample-int4"
LONGEST = 1200  # seconds that a command may take


def pages() -> list[str]:
    """The README, and the pages of docs/ in the order of the site's menu."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = [f"docs/{name}" for name in re.findall(r": (\S+\.md)$", menu, re.MULTILINE)]
    return ["README.md", *(name for name in named if (ROOT / name).exists())]


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that the page shows."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip("\n"), ""))
            continue
        assert found, f"output before a command: {line!r}"
        command, expected = found[-1]
        if command.endswith("\\"):  # the line before goes on
            found[-1] = (f"{command[:-1]}{line.strip()}", expected)
        else:
            found[-1] = (command, expected + line)
    return found


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and content of the page's fenced blocks that can be run and are not marked."""
    found = []
    for language, title, content in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        assert language not in ("sh", "bash", "shell"), f"{page}: commands stand in console blocks"
        if language in ("console", "python") and not NOT_RUN.fullmatch(title):
            assert not title, f"{page}: {title}"
            found.append((language, content))
    return found


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


def test_there_is_something_to_run() -> None:
    assert len(pages()) > 15
    assert sum(len(blocks(page)) for page in pages()) >= 20


@pytest.mark.parametrize("page", pages())
def test_the_commands_of_a_page_do_what_it_says(
    page: str, clone: Path, environment: dict[str, str]
) -> None:
    if re.search(rf"^\$ gpt2-edge export .*-o {PACKAGE}$", (ROOT / page).read_text(), re.M):
        shutil.rmtree(clone / PACKAGE, ignore_errors=True)  # the page begins anew
    with contextlib.ExitStack() as running:
        address = SERVED_AT
        for language, content in blocks(page):
            for command, expected in commands(content) if language == "console" else [(PYTHON, "")]:
                if command.startswith("gpt2-edge serve"):
                    address = running.enter_context(served(command, clone, environment))
                    continue
                process = subprocess.run(
                    ["bash", "-euc", command.replace(SERVED_AT, address)],
                    input=content.replace(SERVED_AT, address) if command == PYTHON else "",
                    cwd=clone,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=LONGEST,
                )
                told = f"$ {command}\n{process.stdout}\n{process.stderr}"
                assert process.returncode == 0, told
                compare(process.stdout, expected)


def compare(printed: str, expected: str) -> None:
    """The words are those of the page; percentages, which processors change, are near."""
    if not expected:
        return
    assert words(printed) == words(expected), printed
    pairs = zip(PERCENT.findall(printed), PERCENT.findall(expected), strict=True)
    for there, here in pairs:
        assert abs(float(there) - float(here)) < PERCENTAGE_POINTS, printed


@contextlib.contextmanager
def served(command: str, clone: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server, up to the page's end; its page and its health are there."""
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
        yield address[0]
        process.terminate()
        assert process.wait(LONGEST) == 128 + signal.SIGTERM
    finally:
        ending.cancel()
        process.kill()
        process.wait()


def words(output: str) -> list[str]:
    """The quoted words of an output, in any order: near equal ones may change places."""
    return sorted(re.findall(r'"[^"]*"', output))
