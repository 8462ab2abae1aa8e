"""Schemathesis makes requests of the server's own /openapi.json, right ones and wrong ones.

No answer is a server error, and each conforms to what the document says: status, content type,
shape; wrong requests are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

from server.process import WAIT, Served, served  # noqa: E402

OPERATIONS = (
    "POST /v1/completions",
    "POST /v1/chat/completions",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "POST /tokenize",
    "POST /detokenize",
    "POST /next",
    "POST /score",
    "POST /attention",
    "GET /model",
    "GET /health",
    "GET /metrics",
)
EXAMPLES = 25  # of each operation, right and wrong


@pytest.fixture(scope="module")
def server(sample_fp32: Path) -> Iterator[Served]:
    # A small queue, so that requests that ask for many texts are refused and take no time.
    with served(sample_fp32, "--max-queue", 8) as running:
        yield running


@pytest.fixture(scope="module")
def openapi(server: Served) -> Any:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    schema.config.update(base_url=server.url, request_timeout=WAIT)
    return schema


# What has no body has nothing that could be wrong.
@pytest.mark.parametrize(
    ("operation", "mode"),
    [(each, "positive") for each in OPERATIONS]
    + [(each, "negative") for each in OPERATIONS if each.startswith("POST")],
)
def test_the_server_does_as_its_document_says(openapi: Any, operation: str, mode: str) -> None:
    method, path = operation.split(" ")
    # A valid body may still ask for what this package has no place for.
    excluded = [positive_data_acceptance]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=openapi[path][method].as_strategy(generation_mode=GenerationMode(mode)))
    def check(case: Any) -> None:
        case.call_and_validate(excluded_checks=excluded)

    check()


def test_the_document_has_every_endpoint(openapi: Any) -> None:
    found = {result.ok().label for result in openapi.get_all_operations()}
    assert found >= {*OPERATIONS, "POST /selftest"}


def test_requests_were_answered_and_refused_and_nothing_failed(server: Served) -> None:
    """Last in this file: what the server has counted."""
    counted = [name for name in server.metrics() if name.startswith("gpt2_edge_requests_total")]
    for operation in OPERATIONS:
        method, path = operation.split(" ")
        statuses = {name[-5:-2] for name in counted if f'endpoint="{path}"' in name}
        if path == "/v1/chat/completions":  # this package has no turns
            assert "400" in statuses
        elif method == "POST":
            assert {"200", "400"} <= statuses
        assert not {status for status in statuses if status[0] == "5"}
    assert "Traceback" not in "".join(server.lines)
