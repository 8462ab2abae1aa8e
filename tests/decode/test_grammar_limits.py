"""Grammars that would compute for long: refused before the first step, or ended by a limit."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gpt2_edge import GenerationError, Generator
from gpt2_edge.calls import make_job
from gpt2_edge.config import GenerationConfig
from gpt2_edge.decode.grammar import grammar_of
from gpt2_edge.decode.schema_bound import check_schema
from helpers import assert_one_line

pytest.importorskip("llguidance", reason="needs the extra [grammar]")

# By llguidance's own limits each takes seconds of one step.
HOSTILE = "(a{1000}){1000}"


def made(generator: Generator, **settings: Any) -> None:
    make_job(generator, "A", GenerationConfig(**settings), None, {}).requests()


@pytest.mark.parametrize(
    "settings",
    [
        {"regex": HOSTILE},
        {"regex": f"xx{HOSTILE}"},
        {"regex": "abcdefgh" * 8000},
        {"json_schema": {"type": "string", "pattern": f"^{HOSTILE}$"}},
        {"json_schema": {"enum": [f"value {number}" for number in range(20_000)]}},
    ],
    ids=["nested", "behind others", "long", "in a schema", "many values"],
)
def test_what_is_too_large_begins_no_text(fp32: Generator, settings: dict[str, Any]) -> None:
    with pytest.raises(GenerationError) as raised:
        made(fp32, **settings)
    assert_one_line(raised.value, "grammar cannot be used", "too large", "repeat less")


def all_of(count: int, form: str = ".*{}.*", **around: Any) -> dict[str, Any]:
    patterns = [{"type": "string", "pattern": form.format(i)} for i in range(count)]
    return {"allOf": [around | part for part in patterns]}


# llguidance alone: minutes and gigabytes for each of those that are refused.
EXPLODING = {
    "allOf": all_of(30),
    "nested": {"allOf": [all_of(15), all_of(15, "{}a*")]},
    "through references": {
        "$defs": {f"d{i}": {"pattern": f".*{i}.*"} for i in range(30)},
        "allOf": [{"$ref": f"#/$defs/d{i}"} for i in range(30)],
    },
    "by anchor": {
        "$defs": {"a": {"$anchor": "a", **all_of(30)}},
        "$ref": "#a",
    },
    "of a property": {
        "allOf": [
            {"type": "object", "properties": {"a": part}, "additionalProperties": False}
            for part in all_of(30)["allOf"]
        ]
    },
    "of any property": {
        "allOf": [
            {"properties": {"a": part} if number % 2 else {}, "additionalProperties": part}
            for number, part in enumerate(all_of(30)["allOf"])
        ]
    },
    "of items": {"allOf": [{"type": "array", "items": part} for part in all_of(30)["allOf"]]},
    "in an alternative": {"anyOf": [{"type": "null"}, {"anyOf": [all_of(30)], "type": "string"}]},
    "multiple": {"type": "integer", "multipleOf": 9_999_991},
    "multiples": {"allOf": [{"type": "integer", "multipleOf": p} for p in (97, 89, 83, 79)]},
    "decimals": {"type": "number", "multipleOf": 0.9999991},
}


@pytest.mark.parametrize("schema", EXPLODING.values(), ids=EXPLODING)
def test_a_schema_that_would_take_minutes_is_refused(schema: dict[str, Any]) -> None:
    for given in ({"json_schema": schema}, {"json_schema": json.dumps(schema)}):
        with pytest.raises(GenerationError) as raised:
            grammar_of(**given)
        assert_one_line(raised.value, "json_schema is too large", "ask for less")
    with pytest.raises(GenerationError, match="too large"):
        grammar_of(lark=f"start: %json {json.dumps(schema)}")


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$"},
                "left": {"$ref": "#/$defs/node"},
                "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
        }
    },
    "$ref": "#/$defs/node",
}
USUAL = {
    "many properties": {
        "type": "object",
        "properties": {f"p{i}": {"type": "string", "pattern": f"^{i}[a-z]+$"} for i in range(100)},
    },
    "recursive": TREE,
    "recursive at once": {"$ref": "#"},
    "variants": {
        "type": "object",
        "anyOf": [
            {"properties": {"kind": {"const": f"k{i}"}, "when": {"format": "date"}}}
            for i in range(20)
        ],
    },
    "alternatives": {"type": "string", "anyOf": all_of(100)["allOf"]},
    "two patterns": all_of(2),
    "round numbers": {"type": "number", "multipleOf": 0.01, "maximum": 1_000_000},
    "thousands": {"type": "integer", "multipleOf": 1000},
}


@pytest.mark.parametrize("schema", USUAL.values(), ids=USUAL)
def test_what_is_usual_is_not_too_large(schema: dict[str, Any]) -> None:
    check_schema(schema)


def test_looking_at_a_schema_is_bounded() -> None:
    doubling = {
        f"d{i}": {
            "allOf": [
                {"properties": {name: {"$ref": f"#/$defs/d{i + 1}"} for name in "ab"}},
                {"properties": {name: {"$ref": f"#/$defs/e{i + 1}"} for name in "ab"}},
            ]
        }
        for i in range(40)
    }
    others = {name.replace("d", "e"): json.loads(json.dumps(doubling[name])) for name in doubling}
    wide = {"allOf": [{"properties": {f"p{i}": {} for i in range(1000)}} for _ in range(1000)]}
    for schema in ({"$defs": doubling | others, "$ref": "#/$defs/d0"}, wide):
        with pytest.raises(GenerationError, match="too much of it"):
            check_schema(schema)


def test_a_number_beyond_float_is_too_large() -> None:
    with pytest.raises(GenerationError, match="json_schema is too large"):
        check_schema({"multipleOf": 10**400 + 1})


def test_a_schema_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"items": schema}
    with pytest.raises(GenerationError) as raised:
        grammar_of(json_schema=schema)
    assert_one_line(raised.value, "json_schema cannot be used", "nested too deeply")


@pytest.mark.parametrize(
    "settings", [{"regex": "[^\\x00-\\U0010ffff]"}, {"lark": "start: start"}], ids=["regex", "lark"]
)
def test_what_nothing_matches_is_told(fp32: Generator, settings: dict[str, Any]) -> None:
    with pytest.raises(GenerationError) as raised:
        made(fp32, **settings)
    assert_one_line(raised.value, "grammar cannot be used", "nothing matches it")


def test_what_grows_too_large_ends_its_text(fp32: Generator) -> None:
    with pytest.raises(GenerationError) as raised:
        fp32.generate("A", regex=f"[xy]z{HOSTILE}", max_new_tokens=8)
    assert_one_line(raised.value, "grammar cannot go on", "too large", "repeat less")


def test_prompts_share_what_is_made_of_a_grammar(
    fp32: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpt2_edge.decode.grammar as module

    made_of: list[object] = []

    class Counted(module.CompiledGrammar):
        def __init__(self, grammar: str, *rest: Any) -> None:
            made_of.append(grammar)
            super().__init__(grammar, *rest)

    monkeypatch.setattr(module, "CompiledGrammar", Counted)
    monkeypatch.setattr("gpt2_edge.requests.CompiledGrammar", Counted)
    results = fp32.generate_batch(["A", "B", "C"] * 4, regex="(one|two) of [a-f]{3}", seed=1)
    assert len(made_of) == 1
    for result in results:
        assert re.fullmatch("(one|two) of [a-f]{3}", result.text)


@pytest.mark.parametrize(
    "settings",
    [
        {"choices": [f"word {number} {'abc' * 30}" for number in range(1024)]},
        {"regex": r"(\p{L}{1,200} ){1,200}"},
        {"regex": "[a-z]{5000}"},
        {"json_schema": {"type": "string", "maxLength": 65536}},
        {
            "json_schema": {
                "type": "object",
                "properties": {
                    f"key{n}": {"enum": [f"value {v}" for v in range(20)]} for n in range(300)
                },
            }
        },
    ],
    ids=["choices", "words", "letters", "string", "object"],
)
def test_what_people_ask_for_is_not(fp32: Generator, settings: dict[str, Any]) -> None:
    assert fp32.generate("A", max_new_tokens=20, **settings).ids
