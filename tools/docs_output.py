"""Run what README.md and docs/ show with its output, and write the output where it has changed.

    python tools/docs_output.py

`make docs` does it first. On a page, a console block has commands (`$ `) with the output below
each; a block titled "Output" has what the Python block before it prints. tests/readme runs all
commands, also those without an output, and fails where an output is not like the page's.

An output stays as it is while the new one is alike: other processors round otherwise, and no two
runs take the same time. cog would need each command a second time, in a comment of the page;
pytest-examples knows no consoles; and both compare to the letter.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# Where `gpt2-edge serve` is in the docs; when it is run it takes a free port.
SERVED_AT = "http://127.0.0.1:8080"
LONGEST = 1200  # seconds that a command may take
# How far apart two processors' figures may be: points of a percentage, and the ratio of others. An
# export in 4 bits is another one on each: what a head attends to has differed by 6 points.
PERCENTAGE_POINTS = 10.0
RATIO = 1.25

_FENCE = re.compile(r"^```(\w+)(.*)\n((?s:.*?))^```$", re.MULTILINE)
_NOT_RUN = re.compile(r' title="Not run by the tests: [^"]+"')
_OUTPUT = ' title="Output"'
_NEEDED = ("gpt2-edge export", "gpt2-edge serve")
_EXPORTS = re.compile(r"gpt2-edge export .*-o (\S+)")
_FIGURE = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?P<percent>%)?")
# Times and speeds; how many tokens lead by enough for a self-test depends on the rounding.
_VARIES = re.compile(r"(?<=self-test of )\d+|[\d,.]+(?= (?:s|ms|tok/s)\b)")
_SHADE = re.compile("[▁-█]")
_WIDE = 100  # a line of JSON that is longer is broken
_JSON_BREAK = re.compile(r'(?<=[}\]],)(?=[{"])')


@dataclass(frozen=True)
class Step:
    """A command of a console block, or a block of Python.

    output: what the page shows of it, which is text[start:end] of the page; may be empty.
    """

    language: str
    code: str
    output: str
    start: int
    end: int


def pages() -> list[str]:
    """The README, and the pages of docs/ in the order of the site's menu."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = [f"docs/{name}" for name in re.findall(r": (\S+\.md)$", menu, re.MULTILINE)]
    return ["README.md", *(name for name in named if (ROOT / name).exists())]


def steps(text: str) -> list[Step]:
    """What can be run of a page, in order; blocks that are marked as not run are left out.

    Raises ValueError for a block that breaks the rules of the docs.
    """
    found: list[Step] = []
    after_python = -1  # where the last Python block ended
    for fence in _FENCE.finditer(text):
        language, title, content = fence.groups()
        if language in ("sh", "bash", "shell"):
            raise ValueError(f"commands stand in console blocks, not in {language}: {content}")
        if title == _OUTPUT:
            if text[after_python : fence.start()].strip() or after_python < 0:
                raise ValueError(f"no Python block stands before this output: {content}")
            found[-1] = Step("python", found[-1].code, content, *fence.span(3))
        elif language in ("console", "python") and not _NOT_RUN.fullmatch(title):
            if title:
                raise ValueError(f"a block that is run has no title: {title}")
            if language == "console":
                found += _commands(content, fence.start(3))
            else:
                found.append(Step("python", content, "", fence.end(), fence.end()))
                after_python = fence.end()
    return found


def _commands(block: str, start: int) -> Iterator[Step]:
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    if parts[0]:
        raise ValueError(f"output before a command: {parts[0]}")
    place = start
    for part in parts[1:]:
        place += len("$ ")
        lines = part.splitlines(keepends=True)
        length = next(i for i, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        code, output = "".join(lines[:length]), "".join(lines[length:])
        command = re.sub(r"\\\n\s*", "", code).rstrip("\n")
        yield Step("console", command, output, place + len(code), place + len(part))
        place += len(part)


def alike(printed: str, shown: str) -> bool:
    """Whether an output is what a page shows, on this processor and in its own time.

    Words and whole numbers are the same, decimals are near; lines that are nearly equal in rank may
    have changed places.
    """
    here, there = _lines(printed), _lines(shown)
    return [line.words for line in here] == [line.words for line in there] and all(
        _near(one, other)
        for line, shown_line in zip(here, there, strict=True)
        for one, other in zip(line.figures, shown_line.figures, strict=True)
    )


class _Line(NamedTuple):
    """A line without its figures, and these as text: a sign for each shade, digits for the rest."""

    words: str
    figures: list[str]


def _lines(output: str) -> list[_Line]:
    found = []
    for line in output.splitlines():
        steady = _SHADE.sub("▒", _VARIES.sub("#", line))
        figures = [figure[0] for figure in _FIGURE.finditer(steady)]
        found.append(_Line(" ".join(_FIGURE.sub("#", steady).split()), figures))
    return sorted(found, key=lambda line: line.words)


def _near(one: str, other: str) -> bool:
    if "." not in one + other:
        return one == other
    here, there = (float(figure.rstrip("%").replace(",", "")) for figure in (one, other))
    if one.endswith("%") and other.endswith("%"):
        return abs(here - there) < PERCENTAGE_POINTS
    low, high = sorted((abs(here), abs(there)))
    if here * there < 0:
        return False
    # A probability, but for small ones, of which a tenth is much.
    is_share = 0.1 <= high <= 1
    return high <= RATIO * low or (is_share and 100 * (high - low) < PERCENTAGE_POINTS)


def as_shown(printed: str) -> str:
    """An output as a page shows it: long lines of JSON are broken."""
    lines = printed.rstrip("\n").split("\n")
    broken = [
        _JSON_BREAK.sub("\n ", line) if line[:1] in ("{", "[") and len(line) > _WIDE else line
        for line in lines
    ]
    return "".join(f"{line}\n" for line in broken)


def ran(
    found: list[Step], folder: Path, variables: Mapping[str, str]
) -> Iterator[tuple[Step, str]]:
    """Run the steps of a page in `folder`, and tell what each printed.

    A server runs up to the end. RuntimeError for a step that fails.
    """
    address = SERVED_AT
    with contextlib.ExitStack() as running:
        for step in found:
            if step.code.startswith("gpt2-edge serve"):
                address, line = running.enter_context(_served(step.code, folder, variables))
                yield step, line
            else:
                yield step, _printed(step, folder, variables, address)


def _printed(step: Step, folder: Path, variables: Mapping[str, str], address: str) -> str:
    code, console = step.code.replace(SERVED_AT, address), step.language == "console"
    if exported := _EXPORTS.match(code):  # every page begins anew
        shutil.rmtree(folder / exported[1], ignore_errors=True)
    done = subprocess.run(
        ["bash", "-euc", code if console else "python -"],
        input="" if console else code,
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"status {done.returncode}: $ {code}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def _served(command: str, folder: Path, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A server, up to the end of the block: its address, and the line with which it says so."""
    process = subprocess.Popen(
        ["bash", "-euc", f"exec {command} --port 0"],
        cwd=folder,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    ending = threading.Timer(LONGEST, process.kill)
    ending.start()
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://[\d.]+:\d+", line)
        if address is None:
            raise RuntimeError(f"$ {command}\n{line}{process.stderr.read()}")
        for path in ("/", "/health"):
            with urllib.request.urlopen(address[0] + path, timeout=LONGEST):
                pass
        yield address[0], line.replace(address[0], SERVED_AT)
        process.terminate()
        if process.wait(LONGEST) != 128 + signal.SIGTERM:
            raise RuntimeError(f"status {process.returncode}: $ {command}")
    finally:
        ending.cancel()
        process.kill()
        process.wait()


def refreshed(text: str, folder: Path, variables: Mapping[str, str]) -> str:
    """A page with the outputs that its steps have now, where they are not alike.

    Only what shows an output is run, and what it needs: exports and servers.
    """
    found = steps(text)
    if not any(step.output for step in found):
        return text
    needed = [step for step in found if step.output or step.code.startswith(_NEEDED)]
    for step, printed in reversed(list(ran(needed, folder, variables))):
        if step.output and not alike(as_shown(printed), step.output):
            text = text[: step.start] + as_shown(printed) + text[step.end :]
    return text


def main() -> None:
    """Refresh every page, in a folder that is removed afterwards."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": folders, "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models").symlink_to(ROOT / "models")
        for page in pages():
            path = ROOT / page
            text = path.read_text(encoding="utf-8")
            now = refreshed(text, folder, variables)
            if now != text:
                path.write_text(now, encoding="utf-8")
                print(f"{page}: output refreshed")


if __name__ == "__main__":
    main()
