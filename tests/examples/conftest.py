"""The sample, loaded once for the examples that are imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2_edge import Generator


@pytest.fixture(scope="session")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4, threads=1)
