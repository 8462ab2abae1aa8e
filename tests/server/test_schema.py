"""Schemathesis makes requests of the server's own /openapi.json, right ones and wrong ones.

No answer is a server error, and each conforms to what the document says: status, content type,
shape; wrong requests are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", minversion="4.0")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

from server.process import WAIT, Served, served  # noqa: E402

EXAMPLES = 25  # of each operation
# They need not agree with themselves: a package of 512 tokens has no place for any text.
LEFT_OUT = [positive_data_acceptance]

document = schemathesis.pytest.from_fixture("openapi")


@pytest.fixture(scope="module")
def server(sample_fp32: Path) -> Iterator[Served]:
    with served(sample_fp32) as running:
        yield running


@pytest.fixture(scope="module")
def openapi(server: Served) -> Any:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    schema.config.update(base_url=server.url, request_timeout=WAIT)
    return schema


@document.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_does_as_its_document_says(case: Any) -> None:
    case.call_and_validate(excluded_checks=LEFT_OUT)


def test_the_document_has_every_endpoint(openapi: Any) -> None:
    found = {result.ok().label for result in openapi.get_all_operations()}
    assert found >= {
        "POST /v1/completions",
        "POST /v1/chat/completions",
        "GET /v1/models",
        "POST /tokenize",
        "POST /detokenize",
        "POST /next",
        "POST /score",
        "POST /attention",
        "GET /model",
        "POST /selftest",
        "GET /health",
        "GET /metrics",
        "GET /openapi.json",
    }


def test_nothing_was_an_internal_error(server: Served) -> None:
    counted = [
        name
        for name in server.metrics()
        if name.startswith("gpt2_edge_requests_total") and 'status="5' in name
    ]
    assert counted == []
    assert "Traceback" not in "".join(server.lines)
