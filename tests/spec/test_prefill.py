"""spec/prefill.json, which every runtime runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.graph.prefill import PREFILL_CHUNK, next_part

_FILE = Path(__file__).resolve().parents[2] / "spec" / "prefill.json"
SPEC: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))


@pytest.mark.parametrize("case", SPEC["cases"], ids=lambda case: case["name"])
def test_parts(case: dict[str, Any]) -> None:
    parts: list[list[int]] = []
    there = case["start"]
    while there < case["end"] and len(parts) <= len(case["parts"]):
        begin, there = next_part(there, case["end"], case["chunk"])
        parts.append([begin, there])
    assert parts == case["parts"]


def test_the_usual_chunk() -> None:
    assert SPEC["chunk"] == PREFILL_CHUNK
