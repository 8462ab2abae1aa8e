"""What tests marked `optimum` compare with, which are skipped where it is not installed; and a
tokenizer in the files of before tokenizer.json.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def transformers(torch: Any) -> Any:
    return pytest.importorskip("transformers")


@pytest.fixture
def pair(sample_checkpoint: Path, tmp_path: Path) -> Path:
    """A folder with the sample's vocab.json and merges.txt only."""
    folder = tmp_path / "pair"
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(sample_checkpoint / name, folder / name)
    return folder
