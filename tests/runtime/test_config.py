"""GenerationConfig: every value out of range is named, and when tokens are drawn at random."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gpt2_edge import GenerationConfig, GenerationError, GPT2EdgeError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", -3),
        ("temperature", -1.0),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", 0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 2.0),
        ("top_p", -0.5),
        ("top_p", math.nan),
        ("stop_strings", ("fine", "")),
        ("stop_strings", ""),
        ("context_overflow", "shift"),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    shown = repr((value,) if name == "stop_strings" and value == "" else value)
    with pytest.raises(GenerationError) as raised:
        GenerationConfig(**{name: value})
    message = str(raised.value)
    assert message.startswith(f"{name} is {shown}; it must be ")
    assert "\n" not in message


def test_the_error_is_one_of_ours_and_a_value_error() -> None:
    assert issubclass(GenerationError, GPT2EdgeError)
    assert issubclass(GenerationError, ValueError)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 1},
        {"temperature": 0.0},
        {"temperature": 1e-9},
        {"top_k": 1},
        {"top_p": 1.0},
        {"top_p": 1e-9},
        {"stop_strings": ("\n",)},
        {"context_overflow": "slide"},
        {"seed": -5},
    ],
)
def test_a_value_at_the_edge_of_its_range_is_taken(settings: dict[str, Any]) -> None:
    config = GenerationConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_one_stop_string_need_not_be_in_a_tuple() -> None:
    assert GenerationConfig(stop_strings="end").stop_strings == ("end",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "samples"),
    [
        ({}, False),
        ({"temperature": 0.7}, True),
        ({"top_k": 40}, True),
        ({"top_p": 0.9}, True),
        ({"seed": 0}, True),
        ({"do_sample": True}, True),
        ({"do_sample": False, "top_k": 40, "seed": 1}, False),
        ({"temperature": 0.0, "top_k": 40}, False),
        ({"temperature": 0.0, "do_sample": True}, False),
        ({"stop_strings": ("x",), "max_new_tokens": 3, "ignore_eos": True}, False),
    ],
)
def test_samples(settings: dict[str, Any], samples: bool) -> None:
    assert GenerationConfig(**settings).samples is samples
