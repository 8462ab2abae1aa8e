"""Ctrl-C ends a text; a signal during an export leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import COMMAND, ENVIRONMENT

# Stops where all files are written but for the manifest, and waits for the signal there.
EXPORT_THAT_WAITS = """
import signal, sys, time
from gpt2_edge.cli import main
from gpt2_edge_export import draft

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

def wait(generator):
    print("waiting", flush=True)
    time.sleep(60)

draft.make_self_test = wait
sys.exit(main())
"""


def test_an_interrupt_ends_the_text_where_it_is(sample_int4: Path) -> None:
    command = [*COMMAND, "generate", str(sample_int4), "One day"]
    process = subprocess.Popen(
        [*command, "--ignore-eos", "--slide", "-n", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    beginning = process.stdout.read(100)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert process.returncode == 0
    assert errors == b""
    assert len(beginning) == 100
    assert rest.endswith(b"\n")
    (beginning + rest).decode()  # ends with a whole character


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "gpt2-edge: interrupted\n")],
)
def test_a_signal_during_an_export_leaves_nothing(
    tiny_checkpoint: Path, tmp_path: Path, number: signal.Signals, status: int, message: str
) -> None:
    arguments = ["export", str(tiny_checkpoint), "-o", str(tmp_path / "package")]
    process = subprocess.Popen(
        [sys.executable, "-c", EXPORT_THAT_WAITS, *arguments, "--no-tokenizer"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    (partial,) = tmp_path.iterdir()
    assert (partial / "model.onnx").stat().st_size > 1000
    process.send_signal(number)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (status, message)
    assert list(tmp_path.iterdir()) == []
