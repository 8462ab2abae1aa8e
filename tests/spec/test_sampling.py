"""spec/sampling.json, which every runtime runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge.config import EffectiveSettings, GenerationConfig
from gpt2_edge.sampling import (
    SplitMix64,
    candidates,
    draw,
    make_chooser,
    min_p_truncation,
    top_p_truncation,
)

_FILE = Path(__file__).resolve().parents[2] / "spec" / "sampling.json"
SPEC: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))


def effective(case: dict[str, Any]) -> EffectiveSettings:
    return GenerationConfig(**case["settings"], do_sample=True).resolved()


@pytest.mark.parametrize("case", SPEC["distributions"], ids=lambda case: case["name"])
def test_distributions(case: dict[str, Any]) -> None:
    asked = effective(case)
    truncations = [top_p_truncation(asked.top_p)] if asked.top_p < 1 else []
    truncations += [min_p_truncation(asked.min_p)] if asked.min_p > 0 else []
    logits = np.log(np.array(SPEC["weights"])).astype(np.float32)
    kept = candidates(logits, asked.temperature, asked.top_k, truncations, asked.typical_p)
    found = np.zeros(len(logits))
    found[kept.ids] = np.diff(kept.cumulative, prepend=0) / kept.whole
    np.testing.assert_allclose(found, np.array(case["shares"]) / sum(case["shares"]), atol=1e-6)


@pytest.mark.parametrize("case", SPEC["outputs"], ids=lambda case: case["seed"])
def test_outputs(case: dict[str, Any]) -> None:
    random = SplitMix64(case["seed"])
    assert [f"{random.next():016x}" for _ in case["hex"]] == case["hex"]


@pytest.mark.parametrize("case", SPEC["uniforms"], ids=lambda case: f"{case['seed']}")
def test_uniforms(case: dict[str, Any]) -> None:
    assert draw(case["seed"], case["number"]) == case["uniform"]


@pytest.mark.parametrize("case", SPEC["draws"], ids=lambda case: case["name"])
def test_draws(case: dict[str, Any]) -> None:
    choose = make_chooser(effective(case), case["seed"])
    logits = np.array(case["logits"], np.float32)
    assert [choose(logits, number) for number in range(len(case["tokens"]))] == case["tokens"]
