"""The sample model in fp32."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2_edge import Generator


@pytest.fixture(scope="session")
def fp32(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32, provider="cpu", threads=1)
