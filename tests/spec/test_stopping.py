"""spec/stopping.json, which every runtime runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.text.stopping import StopStrings

_FILE = Path(__file__).resolve().parents[2] / "spec" / "stopping.json"
SPEC: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))


@pytest.mark.parametrize("case", SPEC["cases"], ids=lambda case: case["name"])
def test_what_is_shown(case: dict[str, Any]) -> None:
    stops = StopStrings(tuple(case["stop_strings"]), case["include_stop_str"])
    shown = []
    for piece in case["pieces"]:
        assert not stops.found
        shown.append(stops.push(piece))
    assert shown == case["shown"]
    assert stops.found == case["found"]
    assert stops.finish() == case["rest"]
