"""examples/docker: a linter reads the Dockerfile, and what it installs serves a package."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments import ROOT, clean_copy, new_environment, outside, run

FOLDER = ROOT / "examples" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"


def lint(tools: Path, file: Path) -> subprocess.CompletedProcess[str]:
    command = [tools / "bin" / "hadolint", "--no-color", file]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_linter_finds_nothing(tools: Path) -> None:
    process = lint(tools, DOCKERFILE)
    assert (process.returncode, process.stdout) == (0, "")


def test_the_linter_would_find_something(tools: Path, tmp_path: Path) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.read_text("utf-8").replace(":3.13-slim-trixie", ":latest"))
    assert "DL3007" in lint(tools, worse).stdout


def test_it_does_not_run_as_root() -> None:
    last = DOCKERFILE.read_text("utf-8").split("\nFROM ")[-1]
    (user,) = re.findall(r"^USER (\S+)$", last, re.MULTILINE)
    assert int(user) > 0
    assert f"useradd --uid {user} " in last
    assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")


@pytest.fixture(scope="module")
def server(
    tools: Path, sample_int4: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of what ENTRYPOINT starts, in an environment made as the Dockerfile makes it."""
    folder = tmp_path_factory.mktemp("docker")
    source = folder / "source"
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    whole = clean_copy(folder / "whole")
    for name in (line[1:] for line in ignored if line.startswith("!")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (whole / name).rename(source / name)
    python = new_environment(folder / "environment")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    run(*install, "--requirement", source / "examples/docker/requirements.txt")
    run(*install, source)

    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    command, *arguments = json.loads(entry)
    assert arguments[-2:] == ["--host", "0.0.0.0"]
    arguments[-1] = "127.0.0.1"  # nobody else is to reach a test
    arguments = [str(sample_int4) if each == "/package" else each for each in arguments]
    process = subprocess.Popen(
        [python.with_name(command), *arguments, "--port", "0"],
        env=outside() | {"GPT2_EDGE_CACHE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://[\w.:]+", line)
    assert found, line + process.stdout.read()
    yield found[0]
    process.terminate()
    began = time.monotonic()
    assert process.wait(timeout=30) == 143, "it ends on SIGTERM, as `docker stop` asks"
    assert time.monotonic() - began < 30


def test_it_is_healthy(server: str) -> None:
    check = re.findall(r"'(http://[^']+)'", DOCKERFILE.read_text("utf-8"))
    (path,) = [address.partition(":8080")[2] for address in check]
    with urllib.request.urlopen(f"{server}{path}", timeout=30) as answer:
        assert answer.status == 200


def test_it_writes(server: str) -> None:
    body = json.dumps({"prompt": "It was late", "max_tokens": 5, "temperature": 0}).encode()
    request = urllib.request.Request(
        f"{server}/v1/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["choices"][0]["text"].strip()
