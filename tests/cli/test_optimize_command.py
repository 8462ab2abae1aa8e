"""gpt2-edge optimize, and --no-cache of the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gpt2_edge.files.machine_cache import MachineCache
from gpt2_edge.graph import later, machine_form
from gpt2_edge_cli.main import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineCache:
    folder = tmp_path / "machine cache"
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(folder))
    return MachineCache(folder)


@pytest.fixture
def package(tmp_path: Path, sample_int4: Path) -> Path:
    return Path(shutil.copytree(sample_int4, tmp_path / "package"))


def output(capsys: Captured, *arguments: object, status: int = 0) -> str:
    """What is printed, on standard output or, where it fails, as the one line of the error."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    printed = capsys.readouterr()
    return printed.err if status else printed.out


def test_it_makes_checks_lists_and_clears(
    cache: MachineCache, package: Path, capsys: Captured
) -> None:
    assert "nothing in" in output(capsys, "info", package)
    assert output(capsys, "optimize", "--list") == ""
    assert output(capsys, "optimize", package).startswith("made: ")
    assert output(capsys, "optimize", package).startswith("checked: ")
    (entry,) = (entry for entry in cache.entries() if entry.kind == machine_form.KIND)
    kept = sum(entry.bytes for entry in cache.entries())
    assert f"{kept / 1e6:,.1f} MB" in output(capsys, "info", package)
    listed = output(capsys, "optimize", "--list")
    assert f"{entry.bytes / 1e6:,.1f} MB  used 20" in listed
    assert "sample" in listed
    assert output(capsys, "optimize", package, "--clear").startswith("removed ")
    assert output(capsys, "optimize", "--clear") == "removed 0 entries\n"
    assert cache.entries() == []


def test_no_cache_neither_uses_nor_makes_it(
    cache: MachineCache, package: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_form, "_SMALLEST", 0)
    arguments = ["generate", package, "It was", "-n", 5]
    text = output(capsys, *arguments, "--no-cache")
    assert not later.PENDING
    assert output(capsys, *arguments) == text
    for work in list(later.PENDING):
        work.finish()
    assert cache.entries()
    assert output(capsys, *arguments) == text
    with monkeypatch.context() as patch:
        patch.setattr(machine_form.MachineForm, "load", None)  # nobody calls it
        assert output(capsys, *arguments, "--no-cache") == text


def test_mistakes_are_one_line(
    cache: MachineCache, package: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, expected in (
        ([], "PACKAGE is missing"),
        ([package, "--list"], "leave out PACKAGE"),
        (["--list", "--clear"], "does not go with"),
        ([package / "none"], "none"),
    ):
        line = output(capsys, "optimize", *arguments, status=2)
        assert expected in line
        assert line.count("\n") == 1
    monkeypatch.setenv("GPT2_EDGE_CACHE", "")
    assert "switched off" in output(capsys, "optimize", package, status=2)
    assert "none (switched off)" in output(capsys, "info", package)
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(package / "manifest.json"))
    assert "is no folder" in output(capsys, "optimize", "--list", status=2)
