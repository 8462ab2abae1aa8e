"""Processors against spec/processors.json, which every runtime runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import GenerationConfig
from gpt2_edge.decode import processors
from gpt2_edge.decode.processors import Processor
from gpt2_edge.requests import Extras, RequestMaker

SPEC = json.loads(
    (Path(__file__).resolve().parents[2] / "spec" / "processors.json").read_text(encoding="utf-8")
)


def made(setting: str, value: Any, prompt: int) -> Processor:
    match setting:
        case "presence_penalty":
            return processors.presence_frequency_penalty(value, 0, prompt)
        case "frequency_penalty":
            return processors.presence_frequency_penalty(0, value, prompt)
        case "sequence_bias":
            return processors.sequence_bias({tuple(tokens): bias for tokens, bias in value})
        case "bad_words_ids":
            return processors.bad_words([tuple(tokens) for tokens in value])
        case "no_repeat_ngram_size":
            return processors.no_repeat_ngram(value)
        case "begin_suppress_tokens":
            return processors.begin_suppress_tokens(value, prompt)
        case "min_new_tokens":
            return processors.min_new_tokens(*value, prompt)
    processor: Processor = getattr(processors, setting)(value)
    return processor


@pytest.mark.parametrize(
    "case", SPEC["cases"], ids=lambda case: f"{case['setting']}: {case['name']}"
)
def test_a_processor_does_what_the_spec_says(case: dict[str, Any]) -> None:
    logits = np.array(SPEC["logits"], np.float32)
    processor = made(case["setting"], case["value"], case["prompt"])
    expected = [-np.inf if x is None else x for x in case["expect"]]
    np.testing.assert_allclose(processor(case["ids"], logits), expected, rtol=1e-6)


def test_of_equal_sequences_in_a_setting_the_last_counts() -> None:
    """As in transformers, which makes a dictionary of them; the two settings add up."""
    settings = GenerationConfig(
        sequence_bias=[[[1], 2.5], [[3, 0], 1.0], [[1], -1.0], [[3, 0], 2.0]], logit_bias={1: 0.25}
    )
    maker = RequestMaker([5, 3], settings.resolved(), None, (), 6, Extras())
    found = maker.single(None).processed([5, 3], np.zeros(6, np.float32))
    assert found.tolist() == [2.0, -0.75, 0, 0, 0, 0]
