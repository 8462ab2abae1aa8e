"""notebooks/: executed on a copy, and what is kept in the files. `make notebooks` runs this."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUNNER = ROOT / "tools" / "run_notebook.py"
MOST_BYTES = 600_000
MACHINE = re.compile(
    r"/(?:home|Users|root|tmp|var|usr|opt|work|mnt|content|builds)/|site-packages|[A-Za-z]:\\\\"
)
# Any address of the network leads nowhere, and pip and the hub are told to stay at home.
WITHOUT_NETWORK = {
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "HF_HUB_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
    "GPT2_EDGE_CACHE": "",
}
needs_jupyter = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nbclient", "ipykernel")),
    reason="needs the extra [notebooks]; `make notebooks` sets it up",
)
every_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def read(file: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return notebook


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and content of each output of a cell; of streams the kind is stdout or stderr."""
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            yield output["name"], "".join(output["text"])
        else:
            for kind, content in output.get("data", {"error": [output.get("ename", "")]}).items():
                yield kind, "".join(content)


def kinds(notebook: dict[str, Any]) -> list[set[str]]:
    return [{kind for kind, _ in shown(cell)} for cell in code_cells(notebook)]


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@every_notebook
def test_kept_outputs_are_of_one_run_from_top_to_bottom(file: Path) -> None:
    cells = code_cells(read(file))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any(kind == "image/png" for cell in cells for kind, _ in shown(cell))


@every_notebook
def test_kept_outputs_tell_nothing_of_a_machine(file: Path) -> None:
    notebook = read(file)
    for cell in code_cells(notebook):
        for kind, content in shown(cell):
            assert kind not in ("error", "stderr"), content
            if kind != "image/png":
                assert not MACHINE.search(content), content
    assert not MACHINE.search(json.dumps(notebook["metadata"]))


@every_notebook
def test_it_is_small(file: Path) -> None:
    assert file.stat().st_size < MOST_BYTES


@needs_jupyter
@every_notebook
def test_it_runs_without_a_network(file: Path, tmp_path: Path) -> None:
    # On a copy beside copies of what it reads: nothing of the repository can be written.
    for folder in ("models", "export/gpt2_edge_export/texts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "notebooks").mkdir()
    copy = shutil.copy2(file, tmp_path / "notebooks")
    done = subprocess.run(
        [sys.executable, RUNNER, copy],
        env=os.environ | WITHOUT_NETWORK,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert kinds(read(Path(copy))) == kinds(read(file))


@needs_jupyter
def test_an_error_in_a_cell_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "wrong.ipynb"
    cell = {"id": "a", "cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    file.write_text(json.dumps(content | {"cells": [cell | {"source": "assert 1 == 2"}]}))
    before = file.read_bytes()
    done = subprocess.run(
        [sys.executable, RUNNER, file], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
    assert file.read_bytes() == before


class TestInstallCell:
    """The first cell, which in Colab fetches the repository and installs it."""

    LECTURE = ROOT / "notebooks" / "gpt2_from_the_inside.ipynb"
    SOURCE = "".join(code_cells(read(LECTURE))[0]["source"])

    def run(self, folder: Path, source: str = SOURCE) -> subprocess.CompletedProcess[str]:
        watched = (
            "import subprocess\n"
            "def told(command, **rest):\n"
            "    print(*map(str, command))\n"
            "subprocess.run = told\n"
        )
        return subprocess.run(
            [sys.executable, "-c", watched + source],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
        )

    def test_it_does_nothing_where_all_is_installed(self) -> None:
        done = self.run(ROOT / "notebooks")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_it_installs_from_the_clone_what_is_missing(self) -> None:
        missing = self.SOURCE.replace('"safetensors"', '"no_such_module"')
        done = self.run(ROOT / "notebooks", missing)
        assert done.stdout.strip().endswith(f"-m pip install --quiet {ROOT}[cache,export,plot]")

    def test_elsewhere_it_asks_for_the_address(self, tmp_path: Path) -> None:
        done = self.run(tmp_path)
        assert done.returncode == 1
        assert "write gpt2-edge's address into REPOSITORY" in done.stderr
        addressed = self.SOURCE.replace('REPOSITORY = ""', 'REPOSITORY = "https://example.org/it"')
        done = self.run(tmp_path, addressed)
        clone = f"git clone --quiet --depth 1 https://example.org/it {tmp_path / 'gpt2-edge'}"
        assert done.stdout.splitlines()[0] == clone
