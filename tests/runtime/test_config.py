"""GenerationConfig: every value that cannot be meant is named when the config is made."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_edge import GenerationConfig, GenerationError, GPT2EdgeError
from gpt2_edge.config import PACKAGE_SETTINGS, EffectiveSettings, Settings
from gpt2_edge.settings import RULES
from helpers import assert_one_line

NAMES = [entry.name for entry in dataclasses.fields(GenerationConfig)]
# Lists of ids, biases by id, schemas.
TAKES_LISTS = (
    "bad_words_ids", "sequence_bias", "logit_bias", "suppress_tokens", "begin_suppress_tokens",
    "eos_token_id", "json_schema",
)  # fmt: skip
ODD = [b"5", [5], (5, 6), {"a": 1}, {3}, object(), len, 1j, np.array([1, 2]), np.array([[True]])]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", -3),
        ("max_new_tokens", 5.0),
        ("max_new_tokens", 2.5),
        ("max_new_tokens", "5"),
        ("max_new_tokens", True),
        ("max_new_tokens", np.bool_(True)),
        ("max_new_tokens", np.float64(5)),
        ("do_sample", 1),
        ("do_sample", "true"),
        ("temperature", -1.0),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", 10**400),
        ("temperature", "0.7"),
        ("temperature", False),
        ("temperature", np.float32("nan")),
        ("top_k", -1),
        ("top_k", 40.0),
        ("top_k", "40"),
        ("top_k", True),
        ("top_p", 2.0),
        ("top_p", -0.5),
        ("top_p", math.nan),
        ("top_p", "1"),
        ("top_p", True),
        ("seed", 7.0),
        ("seed", "7"),
        ("seed", False),
        ("stop_strings", ("fine", "")),
        ("stop_strings", ""),
        ("stop_strings", (5,)),
        ("stop_strings", b"end"),
        ("stop_strings", {"end"}),
        ("stop_strings", ["fine", None]),
        ("stop_strings", [["end"]]),
        ("ignore_eos", None),
        ("min_p", 1.5),
        ("typical_p", 0),
        ("repetition_penalty", 0),
        ("no_repeat_ngram_size", -1),
        ("no_repeat_ngram_size", 2.0),
        ("bad_words_ids", [5]),
        ("bad_words_ids", [[]]),
        ("bad_words_ids", [["a"]]),
        ("sequence_bias", {"a": 1.0}),
        ("sequence_bias", {(1,): math.inf}),
        ("sequence_bias", [[1, 2, 3]]),
        ("logit_bias", {5: math.nan}),
        ("logit_bias", {-5: 1.0}),
        ("suppress_tokens", [-1]),
        ("suppress_tokens", "5"),
        ("eos_token_id", -1),
        ("eos_token_id", 5.0),
        ("max_time", 0),
        ("num_beams", 0),
        ("early_stopping", "always"),
        ("num_return_sequences", 0),
        ("keep", -1),
        ("regex", 5),
        ("json_schema", [1]),
        ("choices", [""]),
        ("ignore_eos", 0),
        ("context_overflow", "shift"),
        ("context_overflow", None),
        ("context_overflow", ["slide"]),
        ("logprobs", 5),
        ("logprobs", None),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        GenerationConfig(**{name: value})
    assert_one_line(raised.value, f"{name} is ", "; it must be ")


@pytest.mark.parametrize("name", NAMES)
def test_no_setting_takes_what_is_no_value_at_all(name: str) -> None:
    for value in ODD if name not in TAKES_LISTS else [b"5", object(), len, 1j, {3}]:
        with pytest.raises(GenerationError) as raised:
            GenerationConfig(**{name: value})
        assert_one_line(raised.value, f"{name} is ", "; it must be ")


def test_the_error_is_one_of_ours_and_a_value_error() -> None:
    assert issubclass(GenerationError, GPT2EdgeError)
    assert issubclass(GenerationError, ValueError)


@pytest.mark.parametrize(
    "given",
    [
        {"max_new_tokens": 1},
        {"max_new_tokens": 10**30},
        {"temperature": 0.0},
        {"temperature": 1e-9},
        {"temperature": 2},
        {"temperature": Fraction(1, 2)},
        {"top_k": 0},
        {"top_k": 1},
        {"top_p": 1.0},
        {"top_p": 0},
        {"top_p": 1e-9},
        {"stop_strings": ("\n",)},
        {"context_overflow": "slide"},
        {"seed": -5},
        {"seed": 2**200},
    ],
)
def test_a_value_at_the_edge_of_its_range_is_taken(given: dict[str, Any]) -> None:
    config = GenerationConfig(**given)
    assert {name: getattr(config, name) for name in given} == given


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64])
@pytest.mark.parametrize("name", ["max_new_tokens", "top_k", "seed"])
def test_numpy_integers_are_integers(name: str, kind: Any) -> None:
    value = getattr(GenerationConfig(**{name: kind(7)}), name)
    assert (type(value), value) == (int, 7)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("name", ["temperature", "top_p"])
def test_numpy_numbers_are_numbers(name: str, kind: Any) -> None:
    value = getattr(GenerationConfig(**{name: kind(1)}), name)
    assert (type(value), value) == (float, 1.0)


def test_numpy_truth_values_are_truth_values() -> None:
    assert GenerationConfig(do_sample=np.bool_(False)).do_sample is False  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("end", ("end",)), (["a", "b"], ("a", "b")), (("a",), ("a",)), ([], ()), (None, ())],
)
def test_stop_strings_are_a_tuple_in_the_end(value: Any, expected: tuple[str, ...]) -> None:
    config = GenerationConfig(stop_strings=value)
    assert config.stop_strings == expected
    assert hash(config) == hash(GenerationConfig(stop_strings=expected))


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=2)
)
anything = st.one_of(
    scalars,
    st.lists(scalars, max_size=2),
    st.dictionaries(st.text(max_size=1), scalars, max_size=1),
)


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, anything)))
def test_a_config_is_made_or_refused_in_one_line(given: dict[str, Any]) -> None:
    try:
        config = GenerationConfig(**given)
    except GenerationError as error:
        assert_one_line(error, "; it must be ")
    else:
        assert hash(config) == hash(dataclasses.replace(config))
        assert config.resolved().max_new_tokens >= 1


def test_a_generation_config_is_read_from_a_folder(tmp_path: Path) -> None:
    raw = {"do_sample": True, "top_k": 0, "temperature": 0.5, "max_new_tokens": None, "x": [1]}
    (tmp_path / "generation_config.json").write_text(json.dumps(raw), "utf-8")
    expected = GenerationConfig(do_sample=True, top_k=0, temperature=0.5)
    assert GenerationConfig.from_pretrained(tmp_path) == expected
    assert GenerationConfig.from_pretrained(str(tmp_path)) == expected


def test_a_generation_config_without_do_sample_is_greedy_as_in_transformers(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text('{"temperature": 0.5}', "utf-8")
    assert not GenerationConfig.from_pretrained(tmp_path).samples
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 0}', "utf-8")
    assert GenerationConfig.from_pretrained(tmp_path) == GenerationConfig()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no"),
        (b"", "cannot be read"),
        (b"[1]", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"top_k": 1' + b"0" * 10_000 + b"}", "cannot be read"),
        (b'{"top_k": 1, "top_k": 2}', "cannot be read"),
        (b"\xff", "cannot be read"),
        (b'{"top_k": 4.0}', "top_k is 4.0"),
        (b'{"temperature": "hot\\u001b[31m"}', "temperature is 'hot"),
        (b'{"do_sample": "yes"}', "do_sample is 'yes'"),
        (b'{"max_new_tokens": 0}', "max_new_tokens is 0"),
        (b'{"top_p": NaN}', "top_p is nan"),
    ],
)
def test_a_generation_config_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    file = tmp_path / "generation_config.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(GenerationError) as raised:
        GenerationConfig.from_pretrained(tmp_path)
    assert_one_line(raised.value, file, expected)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("path", [None, 5, b"folder", "", "no\0where", "nowhere"])
def test_a_generation_config_of_no_folder(path: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        GenerationConfig.from_pretrained(path)
    assert_one_line(raised.value)


def test_keywords_are_the_fields() -> None:
    assert list(Settings.__annotations__) == NAMES == list(RULES)
    assert [entry.name for entry in dataclasses.fields(EffectiveSettings)] == NAMES
    assert set(PACKAGE_SETTINGS) <= set(NAMES)


def test_updated_settings_win() -> None:
    config = GenerationConfig(temperature=0.5, top_k=3)
    expected = GenerationConfig(temperature=0.9, top_k=3, seed=1)
    assert config.updated({"temperature": 0.9, "seed": 1}) == expected
    assert config.updated(OrderedDict()) is config


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("max_tokens", "max_new_tokens"),
        ("temprature", "temperature"),
        ("topk", "top_k"),
        ("stop_string", "stop_strings"),
        ("max_length", "the settings are "),
        ("q" * 5000, "the settings are "),
    ],
)
def test_an_unknown_setting_is_told_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(GenerationError) as raised:
        GenerationConfig().updated({name: 1})
    assert_one_line(raised.value, "there is no setting '", near)


@pytest.mark.parametrize(
    ("given", "samples"),
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
def test_samples(given: dict[str, Any], samples: bool) -> None:
    assert GenerationConfig(**given).samples is samples
