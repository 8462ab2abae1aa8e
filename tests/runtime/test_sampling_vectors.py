"""tests/vectors/sampling.json, which runtimes in other languages check too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge.config import GenerationConfig
from gpt2_edge.sampling import make_chooser

_FILE = Path(__file__).resolve().parents[1] / "vectors" / "sampling.json"
CASES: list[dict[str, Any]] = json.loads(_FILE.read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_draws(case: dict[str, Any]) -> None:
    config = GenerationConfig(
        temperature=case["temperature"],
        top_k=case["top_k"],
        top_p=case["top_p"],
        seed=case["seed"],
    )
    choose = make_chooser(config.resolved(), case["seed"])
    logits = np.array(case["logits"], np.float32)
    assert [choose(logits, number) for number in range(len(case["tokens"]))] == case["tokens"]
