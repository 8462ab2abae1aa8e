"""The Python reference, which is made of docstrings, tells every parameter on a line of its own."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gpt2_edge
import gpt2_edge_export

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (gpt2_edge, gpt2_edge_export)
    for name in module.__all__
}
# What each setting is stands with GenerationConfig.
SAID_ELSEWHERE = {"EffectiveSettings"}


def callables() -> Iterator[tuple[str, str, list[str]]]:
    """Name, docstring and parameters of everything public that can be called."""
    for name, thing in PUBLIC.items():
        if inspect.isfunction(thing):
            yield name, inspect.getdoc(thing) or "", list(inspect.signature(thing).parameters)
        if not inspect.isclass(thing) or issubclass(thing, Exception):
            continue
        if dataclasses.is_dataclass(thing) and thing.__name__ not in SAID_ELSEWHERE:
            fields = [field.name for field in dataclasses.fields(thing)]
            yield name, inspect.getdoc(thing) or "", fields
        for member, function in methods(thing):
            parameters = list(inspect.signature(function).parameters)[1:]
            yield f"{name}.{member}", inspect.getdoc(function) or "", parameters


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    for owner in reversed(kind.__mro__[:-1]):
        for name, value in vars(owner).items():
            function = value.__func__ if isinstance(value, classmethod) else value
            if inspect.isfunction(function) and not name.startswith("_"):
                yield name, function


@pytest.mark.parametrize(
    ("name", "docstring", "parameters"),
    [pytest.param(*entry, id=entry[0]) for entry in callables() if entry[2]],
)
def test_parameters_are_told_one_by_one(name: str, docstring: str, parameters: list[str]) -> None:
    if re.match(r"(Like|See) `", docstring):  # the same parameters as there
        return
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n?|\n(?=    ))*)", docstring, re.M)
    assert section, f"{name} has no list of parameters"
    told = re.findall(r"^    \**(\w+): ", section[1], re.MULTILINE)
    assert told == [parameter for parameter in parameters if parameter in told]
    assert set(parameters) <= set(told)


def test_everything_public_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    others = {"gpt2_edge.ray.Continuer", "gpt2_edge.ray.Scorer"}  # imported by their own name
    assert sorted(listed) == sorted(set(PUBLIC) - {"gpt2_edge.__version__"} | others)
