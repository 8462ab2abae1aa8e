"""spec/settings.json, which every runtime runs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import GenerationConfig, GenerationError
from gpt2_edge.settings import RULES
from helpers import assert_one_line

_FILE = Path(__file__).resolve().parents[2] / "spec" / "settings.json"
SPEC: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
SETTINGS: list[dict[str, Any]] = SPEC["settings"]

OF_OTHER_TYPES: dict[str, list[Any]] = {
    "integer": [1.5, "1", True, [1]],
    "number": ["1", True, math.nan, math.inf, [1.0]],
    "boolean": [0, "true", [True]],
    "ids": ["1", -1, 1.5, True, [[1]], [-1]],
    "sequences": [5, [5], [[]], [["a"]], "a"],
    "biases": [5, [5], [[1]], [[[], 1.0]], {"a": 1.0}, [[1, "a"]], [[1, math.nan]]],
    "strings": ["", [""], 5, [5]],
    "word": [5, True, "other"],
}


def plain(value: Any) -> Any:
    """`value` as JSON has it."""
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def effective(case: dict[str, Any]) -> dict[str, Any]:
    package = GenerationConfig.from_json(case["package"])
    found = dataclasses.asdict(GenerationConfig(**case["caller"]).resolved(package))
    found["samples"] = found["do_sample"]
    return {name: plain(value) for name, value in found.items()}


@pytest.mark.parametrize("case", SPEC["cases"], ids=lambda case: case["name"])
def test_settings_are_what_every_runtime_makes_of_them(case: dict[str, Any]) -> None:
    if "refused" in case:
        with pytest.raises(GenerationError) as raised:
            effective(case)
        assert_one_line(raised.value, case["refused"])
        return
    found = effective(case)
    assert {name: found[name] for name in case["expect"]} == case["expect"]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting["name"])
def test_the_rules_are_the_table(setting: dict[str, Any]) -> None:
    rule = RULES[setting["name"]]
    assert plain(rule.default) == setting["default"]
    assert rule.package == setting["package"]
    assert rule.draws == setting.get("draws", False)


def edges(setting: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Values at the edges of the range and just beyond, and whether they are taken."""
    step = 1 if setting["type"] == "integer" else 1e-9
    if "least" in setting:
        yield from ((setting["least"], True), (setting["least"] - step, False))
    if "above" in setting:
        yield from ((setting["above"] + step, True), (setting["above"], False))
    if "most" in setting:
        yield from ((setting["most"], True), (setting["most"] + step, False))
    if setting["type"] in ("integer", "number") and "most" not in setting:
        yield 10**6, True
    if not {"least", "above"} & setting.keys() and setting["type"] in ("integer", "number"):
        yield -(10**6), True
    for word in setting.get("words", ()):
        yield word, True


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting["name"])
def test_the_edges_of_a_range(setting: dict[str, Any]) -> None:
    for value, taken in edges(setting):
        if taken:
            assert getattr(GenerationConfig(**{setting["name"]: value}), setting["name"]) == value
        else:
            with pytest.raises(GenerationError):
                GenerationConfig(**{setting["name"]: value})


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting["name"])
def test_values_of_other_types_are_refused(setting: dict[str, Any]) -> None:
    for value in OF_OTHER_TYPES[setting["type"]]:
        with pytest.raises(GenerationError) as raised:
            GenerationConfig(**{setting["name"]: value})
        assert_one_line(raised.value, setting["name"])
