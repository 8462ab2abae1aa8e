"""Standard output that ends early, is full, or cannot show every character."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cli.command import COMMAND, ENVIRONMENT

GENERATE = [*COMMAND, "generate"]


def test_a_reader_that_goes_away_is_no_error(sample_int4: Path) -> None:
    process = subprocess.Popen(
        [*GENERATE, sample_int4, "One", "-n", "20000", "--ignore-eos", "--slide"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(10)) == 10
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_characters_that_the_output_cannot_show(sample_int4: Path) -> None:
    # As on a Windows console; the vocabulary holds letters beyond ASCII.
    process = subprocess.run(
        [*COMMAND, "next", sample_int4, "One", "-k", "8192"],
        capture_output=True,
        env=ENVIRONMENT | {"PYTHONIOENCODING": "ascii"},
    )
    assert process.stderr == b""
    assert process.returncode == 0
    assert process.stdout.count(b"\n") == 8192


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(sample_int4: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*GENERATE, sample_int4, "One", "-n", "3"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )
    assert process.returncode == 2
    assert process.stderr.startswith("gpt2-edge: ")
    assert os.strerror(28) in process.stderr
    assert process.stderr.count("\n") == 1
