"""What a processor is told by: not what changes from one look to the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpt2_edge.graph import processor

CPUINFO = """processor\t: {number}
model name\t: A processor
cpu MHz\t\t: {mhz}
core id\t\t: {number}
apicid\t\t: {number}
flags\t\t: fpu {flags}

processor\t: 1
model name\t: Another
"""


def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, mhz: float, flags: str
) -> str:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO.format(number=number, mhz=mhz, flags=flags))
    monkeypatch.setattr(processor, "_CPUINFO", path)
    monkeypatch.setattr("sys.platform", "linux")
    return processor.processor.__wrapped__()


def test_features_count_and_speed_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = told(tmp_path, monkeypatch, 0, 2000.0, "avx2")
    assert told(tmp_path, monkeypatch, 0, 2100.5, "avx2") == first
    assert told(tmp_path, monkeypatch, 7, 2000.0, "avx2") == first
    assert told(tmp_path, monkeypatch, 0, 2000.0, "avx2 avx512_vnni") != first


def test_it_is_the_same_in_every_process() -> None:
    code = "from gpt2_edge.graph.processor import processor; print(processor())"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == processor.processor()
