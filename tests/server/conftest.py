"""A real server over the sample package; without the extra [server] there is nothing to test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gpt2_edge.generate import Generator

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from server.served import Serve, Served

for _module in ("httpx", "msgspec", "prometheus_client", "starlette", "uvicorn"):
    pytest.importorskip(_module, reason="needs the extra [server]")


@pytest.fixture(scope="session")
def generator(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32, threads=1)


@pytest.fixture(scope="session")
def serve(generator: Generator) -> Serve:
    """A function (package=the sample, **options) that serves while a block runs."""
    from server.served import serving

    def start(package: Generator | None = None, **options: Any) -> AbstractContextManager[Served]:
        return serving(package or generator, **options)

    return start


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    """The sample with 4 rows, for the tests of a file."""
    with serve(max_rows=4, max_queue=60) as served:
        yield served
        assert served.log == []  # nothing unforeseen, in all of the file
