"""Texts, limits and recipes of gpt2-edge export: what is refused, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from byte_model import write_byte_checkpoint
from cli.command import Cli, Output

NIGHT = "It was a dark and stormy night. "


@pytest.fixture(scope="session")
def byte_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with a tokenizer of single bytes."""
    return write_byte_checkpoint(tmp_path_factory.mktemp("bytes") / "bytes")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """An empty folder to export into."""
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


TEXTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "no tokens"),
    "short": (lambda path: path.write_bytes(b"night"), "only 5 tokens"),
    "latin-1": (lambda path: path.write_bytes(b"caf\xe9 " * 999), "not UTF-8"),
    "missing": (lambda path: None, "no such file"),
    "folder": (Path.mkdir, "Is a directory"),
}


@pytest.mark.parametrize("flag", ["--calibration", "--report-text"])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_bad_text(
    refused: Output, byte_checkpoint: Path, room: Path, tmp_path: Path, flag: str, kind: str
) -> None:
    make, expected = TEXTS[kind]
    path = tmp_path / "text.txt"
    make(path)
    message = refused("export", byte_checkpoint, "-o", room / "package", flag, path)
    assert str(path) in message
    assert expected in message
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("flag", ["--calibration", "--report-text"])
def test_a_text_without_a_tokenizer(
    refused: Output, byte_checkpoint: Path, room: Path, tmp_path: Path, flag: str
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(NIGHT * 99, "utf-8")
    command = ("export", byte_checkpoint, "-o", room / "package", "--no-tokenizer", flag, text)
    message = refused(*command)
    assert str(text) in message
    assert "--tokenizer" in message
    assert list(room.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--recipe int8 --max-kl 0.01", "--recipe"),
        ("--recipe int8 --max-size 1", "--recipe"),
        ("--block-size 32 --max-kl 0.01", "--block-size"),
        ("--max-kl 0", "--max-kl is 0;"),
        ("--max-kl -1", "--max-kl is -1;"),
        ("--max-kl nan", "--max-kl is nan;"),
        ("--max-kl inf", "--max-kl is inf;"),
        ("--max-size 0", "--max-size is 0;"),
        ("--max-size nan", "--max-size is nan;"),
        ("--max-size -2", "--max-size is -2;"),
        ("--recipe int3", "recipe 'int3' is not one of fp32, fp16, int8, int8-row, int4"),
        ("--recipe mixed", "recipe 'mixed' is not one of"),
        ("--recipe int8-row --block-size 32", "int8-row"),
        ("--recipe fp16 --block-size 32", "fp16"),
        ("--block-size 48", "block size 48"),
        ("--engine optimum --max-kl 0.01", "--engine optimum"),
        ("--engine optimum --recipe int8", "--engine optimum"),
        (
            "--cache-dtype int8 --no-calibration",
            "leave out --no-calibration, or take --cache-dtype float16",
        ),
        (
            "--cache-dtype int8 --no-tokenizer",
            "leave out --no-tokenizer, or take --cache-dtype float16",
        ),
        ("--max-kl 0.01 --no-tokenizer", "tokenizer"),
        ("--max-kl 0.01 --no-report", "report"),
        ("--max-kl 0.01 --no-calibration", "calibration"),
        ("--max-size 1 --no-report", "report"),
    ],
)
def test_options_that_do_not_go_together(
    refused: Output, byte_checkpoint: Path, room: Path, options: str, expected: str
) -> None:
    message = refused("export", byte_checkpoint, "-o", room / "package", *options.split())
    assert expected in message
    assert list(room.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--calibration x --no-calibration", "--no-calibration does not go with --calibration"),
        ("--report-text x --no-report", "--no-report does not go with --report-text"),
        ("--max-kl low", "--max-kl takes a number, not 'low'"),
    ],
)
def test_options_that_the_parser_refuses(
    cli: Cli, byte_checkpoint: Path, room: Path, options: str, expected: str
) -> None:
    process = cli("export", byte_checkpoint, "-o", room / "package", *options.split())
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert expected in line
    assert list(room.iterdir()) == []


@pytest.fixture
def report_text(tmp_path: Path) -> Path:
    path = tmp_path / "report.txt"
    path.write_text(NIGHT * 20, "utf-8")
    return path


def test_the_report_is_printed_and_kept(
    ok: Output, byte_checkpoint: Path, room: Path, report_text: Path
) -> None:
    output = room / "package"
    lines = ok("export", byte_checkpoint, "-o", output, "--report-text", report_text).splitlines()
    assert lines[0] == "on 640 tokens of report.txt:"
    quality = json.loads((output / "manifest.json").read_text("utf-8"))["quality"]
    assert f"perplexity {quality['perplexity']:.2f}" in lines[1]
    assert f"KL divergence from fp32 {quality['mean_kl']:.5f}" in lines[2]
    card = (output / "README.md").read_text("utf-8")
    assert "\n".join(lines[:8]) in card  # three lines, and one for each of five groups
    assert [path.name for path in room.iterdir()] == ["package"]


@pytest.mark.parametrize("options", ["--no-report", "--no-report --no-calibration"])
def test_no_report(ok: Output, byte_checkpoint: Path, room: Path, options: str) -> None:
    output = ok("export", byte_checkpoint, "-o", room / "package", *options.split())
    assert "perplexity" not in output
    assert "int4" in output
    manifest = json.loads((room / "package" / "manifest.json").read_text("utf-8"))
    assert manifest["quality"] is None
    assert "KL divergence" not in (room / "package" / "README.md").read_text("utf-8")


def test_a_limit_prints_the_frontier(
    ok: Output, byte_checkpoint: Path, room: Path, report_text: Path
) -> None:
    command = ("export", byte_checkpoint, "-o", room / "package", "--report-text", report_text)
    lines = ok(*command, "--max-kl", "0.02").splitlines()
    frontier = [line for line in lines if "MB of matrices" in line]
    assert len(frontier) == 4 * 2 + 1 + 1  # all in 8 bits, then one matrix more each
    assert any("measured in all" in line for line in frontier)
    (row,) = [line for line in lines if "KL divergence from fp32" in line]
    assert float(row.split("from fp32 ")[1].split()[0]) <= 0.02
    assert "as mixed" in lines[-2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--max-kl 1e-9", "more than --max-kl 1e-09"),
        ("--max-size 0.01", "more than --max-size 0.01"),
        ("--max-kl 1e-9 --max-size 0.01", "more than --max-size 0.01"),
        ("--max-kl 0.5 --max-size 0.01", "--max-size 0.01"),
    ],
)
def test_limits_that_nothing_meets(
    refused: Output,
    byte_checkpoint: Path,
    room: Path,
    report_text: Path,
    options: str,
    expected: str,
) -> None:
    command = ("export", byte_checkpoint, "-o", room / "package", "--report-text", report_text)
    assert expected in refused(*command, *options.split())
    assert list(room.iterdir()) == []


def test_info_states_the_quality_where_it_was_measured(
    ok: Output, byte_checkpoint: Path, room: Path, report_text: Path
) -> None:
    measured, unmeasured = room / "measured", room / "unmeasured"
    ok("export", byte_checkpoint, "-o", measured, "--report-text", report_text)
    ok("export", byte_checkpoint, "-o", unmeasured, "--no-report")
    quality = json.loads((measured / "manifest.json").read_text("utf-8"))["quality"]
    assert f"KL divergence {quality['mean_kl']:.5f} on 640 tokens" in ok("info", measured)
    assert "KL divergence" not in ok("info", unmeasured)
