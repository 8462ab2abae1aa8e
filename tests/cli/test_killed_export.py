"""Killing an export at any moment leaves no package, and none that is half of one."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.command import COMMAND, ENVIRONMENT, Output
from gpt2_edge import Generator
from gpt2_edge.measure.selftest import run_self_test

PLAIN = ("--no-calibration",)  # reaches the graph and the report sooner
WAIT = 60  # seconds at most for a moment to come

# A moment: further arguments, what has to exist beside the destination, and seconds after that.
MOMENTS: dict[str, tuple[tuple[str, ...], str | None, float]] = {
    "before it has begun": ((), None, 0.1),
    "while it is loading": ((), None, 0.5),
    "the folder is made": ((), ".gpt2-edge-*", 0),
    "calibrating": ((), ".gpt2-edge-*/new", 1),
    "calibrating later": ((), ".gpt2-edge-*/new", 2),
    "writing the graph": (PLAIN, ".gpt2-edge-*/new/model.onnx*", 0),
    "the graph is written": (PLAIN, ".gpt2-edge-*/new/manifest.json", 0),
    # The self-test runs in between, a fraction of a second; the report takes seconds.
    "measuring": (PLAIN, ".gpt2-edge-*/new/manifest.json", 1),
}


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """An empty folder to export into."""
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


@contextmanager
def export_until(moment: str, source: Path, output: Path, *more: str) -> Iterator[subprocess.Popen]:
    """An export that has come to the moment; killed afterwards if it is still there."""
    arguments, pattern, seconds = MOMENTS[moment]
    process = subprocess.Popen(
        [*COMMAND, "export", str(source), "-o", str(output), *arguments, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        end = time.monotonic() + WAIT
        while pattern and not any(output.parent.glob(pattern)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, f"{pattern} did not appear"
            time.sleep(0.002)
        time.sleep(seconds)
        assert process.poll() is None, f"too late: {process.communicate()}"
        yield process
    finally:
        process.kill()
        process.communicate()


def snapshot(folder: Path) -> dict[str, str]:
    """Path -> hash of all files below `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("moment", MOMENTS)
def test_sigterm_leaves_nothing(sample_checkpoint: Path, room: Path, moment: str) -> None:
    with export_until(moment, sample_checkpoint, room / "package") as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=WAIT)
    # Before the command has begun, Python's own handling ends it.
    early = [-signal.SIGTERM] if MOMENTS[moment][1] is None else []
    assert process.returncode in [143, *early]
    assert (out, err) == (b"", b"")
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("moment", ["the folder is made", "calibrating", "the graph is written"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGHUP, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGHUP),
        (signal.SIGTERM, signal.SIGINT),
    ],
    ids=lambda number: number.name,
)
def test_signals_in_a_row_leave_nothing(
    sample_checkpoint: Path,
    room: Path,
    moment: str,
    first: signal.Signals,
    second: signal.Signals,
) -> None:
    """As the clean-up begins, too: they keep coming until the process has ended."""
    with export_until(moment, sample_checkpoint, room / "package") as process:
        process.send_signal(first)
        end = time.monotonic() + WAIT
        while process.poll() is None and time.monotonic() < end:
            process.send_signal(second)
            time.sleep(0.001)
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode not in (0, None)
    assert b"Traceback" not in err
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_sigkill_leaves_no_package(
    sample_checkpoint: Path, tiny_checkpoint: Path, room: Path, ok: Output, moment: str
) -> None:
    with export_until(moment, sample_checkpoint, room / "package") as process:
        process.kill()
        process.communicate(timeout=WAIT)
    assert process.returncode == -signal.SIGKILL
    names = [path.name for path in room.iterdir()]
    assert [name for name in names if not name.startswith(".gpt2-edge-")] == []
    if MOMENTS[moment][1] is not None:
        assert names  # it was killed at work
    # The next one takes it away.
    ok("export", tiny_checkpoint, "-o", room / "package", "--no-tokenizer")
    assert run_self_test(Generator.load(room / "package")) == []
    assert [path.name for path in room.iterdir()] == ["package"]


def test_an_export_beside_a_live_one_lets_it_be(
    sample_checkpoint: Path, tiny_checkpoint: Path, room: Path, ok: Output
) -> None:
    with export_until("calibrating", sample_checkpoint, room / "package") as process:
        ok("export", tiny_checkpoint, "-o", room / "package", "--no-tokenizer")
        assert len(list(room.iterdir())) == 2
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT)
    assert process.returncode == 143
    assert [path.name for path in room.iterdir()] == ["package"]


@pytest.mark.parametrize("limit", [14, 18, 22, 26, 34])
def test_running_out_of_descriptors_leaves_nothing(
    tiny_checkpoint: Path, room: Path, limit: int
) -> None:
    command = [*COMMAND, "export", str(tiny_checkpoint), "-o", str(room / "package")]
    process = subprocess.run(
        ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *command, "--no-tokenizer"],
        capture_output=True,
        env=ENVIRONMENT,
        text=True,
    )
    assert process.returncode in (0, 2), process.stderr
    if process.returncode == 2:
        assert process.stderr.count("\n") == 1, process.stderr
        assert list(room.iterdir()) == []
    else:
        assert [path.name for path in room.iterdir()] == ["package"]


@pytest.mark.parametrize("moment", ["calibrating", "the graph is written", "measuring"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_older_package_stays_whole(
    sample_checkpoint: Path,
    random_package: Callable[..., Path],
    room: Path,
    moment: str,
    number: signal.Signals,
) -> None:
    package = room / "package"
    shutil.copytree(random_package("int4"), package)
    before = snapshot(package)
    with export_until(moment, sample_checkpoint, package, "--force") as process:
        process.send_signal(number)
        process.communicate(timeout=WAIT)
    assert process.returncode != 0
    assert snapshot(package) == before
    assert run_self_test(Generator.load(package)) == []
    if number == signal.SIGTERM:
        assert list(room.iterdir()) == [package]
