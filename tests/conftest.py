"""Fixtures that every test folder uses: packages of the sample model, and of random weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge_export.export import ExportOptions, export_package
from helpers import random_config, write_random_checkpoint

_ROOT = Path(__file__).resolve().parents[1]
# Nothing of the tests' packages is to be kept on the machine; of this process's children, too.
os.environ["GPT2_EDGE_CACHE"] = ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where `make check` asks, list what was skipped; tools/skipped.py prints all suites'."""
    listed = os.environ.get("SKIPPED_LIST")
    if not listed:
        return
    suite = os.environ.get("SUITE", "tests")
    with Path(listed).open("a", encoding="utf-8") as file:
        for report in terminalreporter.stats.get("skipped", []):
            told = report.longrepr
            reason = told[2] if isinstance(told, tuple) else told
            reason = " ".join(str(reason).removeprefix("Skipped: ").split())
            file.write(f"{suite}\t{reason}\t{report.nodeid}\n")


@pytest.fixture(scope="session")
def sample_checkpoint() -> Path:
    """The small trained GPT-2 of the repository, a Hugging Face folder."""
    return _ROOT / "models" / "sample"


@pytest.fixture(scope="session")
def sample_fp32(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(sample_checkpoint, tmp_path_factory, "fp32")


@pytest.fixture(scope="session")
def sample_int8(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(sample_checkpoint, tmp_path_factory, "int8")


@pytest.fixture(scope="session")
def sample_int4(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(sample_checkpoint, tmp_path_factory, "int4")


@pytest.fixture(scope="session")
def random_package(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function (recipe="fp32", seed=0, flavour="fused", **config overrides) -> random package.

    It takes and gives token ids; the checkpoint lies beside it in the folder `checkpoint`.
    """

    def make(recipe: str = "fp32", seed: int = 0, flavour: str = "fused", **overrides: Any) -> Path:
        folder = tmp_path_factory.mktemp("random")
        config = random_config(**overrides)
        checkpoint = write_random_checkpoint(folder / "checkpoint", config, seed)
        options = ExportOptions(recipe=recipe, flavour=flavour, tokenizer=False)
        return export_package(checkpoint, folder / "package", options).package.folder

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data folder that lies beside the project on some machines."""
    folder = _ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder


def _export(checkpoint: Path, factory: pytest.TempPathFactory, recipe: str) -> Path:
    folder = factory.mktemp("sample") / f"sample-{recipe}"
    options = ExportOptions(recipe=recipe, report=False)
    return export_package(checkpoint, folder, options).package.folder
