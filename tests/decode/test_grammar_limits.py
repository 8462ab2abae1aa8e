"""Grammars that would compute for long: refused before the first step, or ended by a limit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gpt2_edge import GenerationError, Generator
from gpt2_edge.calls import make_job
from gpt2_edge.config import GenerationConfig
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
