"""Runs of gpt2-edge attend in this process, and what to look at."""

from __future__ import annotations

import pytest

from gpt2_edge_cli.main import main

EXAMPLE = "The animal didn't cross the street because it was too tired"
TEXT = "It was the best\nof times"
Capture = pytest.CaptureFixture[str]


def output_of(capsys: Capture, *arguments: object) -> str:
    assert main(["attend", *map(str, arguments)]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def mistake(capsys: Capture, *arguments: object) -> str:
    assert main(["attend", *map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("gpt2-edge")
    assert output.err.count("\n") == 1
    return output.err
