"""The sample model, loaded once per recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2_edge import Generator

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the "
    "age of foolishness, it was the epoch of belief, it was the epoch of incredulity"
)


@pytest.fixture(scope="session")
def fp32(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32)


@pytest.fixture(scope="session")
def int8(sample_int8: Path) -> Generator:
    return Generator.load(sample_int8)


@pytest.fixture(scope="session")
def int4(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


@pytest.fixture(params=["fp32", "int8", "int4"])
def generator(request: pytest.FixtureRequest) -> Generator:
    """Each recipe in turn."""
    loaded: Generator = request.getfixturevalue(request.param)
    return loaded


@pytest.fixture(scope="session")
def ids(fp32: Generator) -> list[int]:
    """40 token ids of a text."""
    tokens = fp32.encode(TEXT)[:40]
    assert len(tokens) == 40
    return tokens
