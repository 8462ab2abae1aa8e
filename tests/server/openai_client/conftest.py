"""The `openai` package, unchanged, against one server for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import Generator

pytest.importorskip("openai", minversion="1.60")

from server.openai_client.calls import client_of
from server.process import Served, served


@pytest.fixture(scope="package")
def server(sample_fp32: Path) -> Iterator[Served]:
    with served(sample_fp32) as running:
        yield running


@pytest.fixture(scope="package")
def client(server: Served) -> Iterator[Any]:
    with client_of(server) as client:
        yield client


@pytest.fixture(scope="package")
def generator(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32)


@pytest.fixture(scope="package")
def model(client: Any) -> str:
    name: str = client.models.list().data[0].id
    return name
