"""What can be imported from gpt2_edge, and that its documentation names nothing else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import gpt2_edge
from gpt2_edge import GPT2EdgeError, errors

PUBLIC = [name for name in gpt2_edge.__all__ if name != "__version__"]


def documented() -> Iterator[tuple[str, str]]:
    """Name and docstring of everything public: classes, functions, methods, properties."""
    yield "gpt2_edge", inspect.getdoc(gpt2_edge) or ""
    for name in PUBLIC:
        value = getattr(gpt2_edge, name)
        yield name, inspect.getdoc(value) or ""
        if inspect.isclass(value):
            members = {
                k: v
                for kind in reversed(value.__mro__)
                if kind.__module__.startswith("gpt2_edge")
                for k, v in vars(kind).items()
            }
            for member, definition in members.items():
                if not member.startswith("_") or member == "__init__":
                    yield f"{name}.{member}", inspect.getdoc(definition) or ""


def test_all_is_complete_and_each_name_is_there() -> None:
    assert len(set(gpt2_edge.__all__)) == len(gpt2_edge.__all__)
    for name in gpt2_edge.__all__:
        assert getattr(gpt2_edge, name) is not None
    assert set(gpt2_edge.__all__) <= set(dir(gpt2_edge))
    code = (
        "from gpt2_edge import *; print(sorted(set(dir()) & set(__import__('gpt2_edge').__all__))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code + ")"], capture_output=True, text=True, check=True
    )
    assert eval(shown.stdout) == sorted(gpt2_edge.__all__)


def test_type_checkers_see_every_name() -> None:
    source = inspect.getsource(gpt2_edge)
    imported = re.findall(r"^    from gpt2_edge\.([\w.]+) import (\w+) as (\w+)$", source, re.M)
    assert {name: module for module, name, _ in imported} == {
        name: module.__name__.partition(".")[2]
        for name in PUBLIC
        for module in [importlib.import_module(f"gpt2_edge.{gpt2_edge._MODULES[name]}")]
    }
    assert all(name == alias for _, name, alias in imported)


@pytest.mark.parametrize(("name", "text"), [*documented()], ids=[n for n, _ in documented()])
def test_errors_and_constants_that_a_docstring_names_can_be_imported(name: str, text: str) -> None:
    for named in re.findall(r"(?<!/)\b(\w+Error|[A-Z]{4,}[A-Z_]*[A-Z])\b", text):
        assert named in gpt2_edge.__all__, f"{name} names {named}"


def test_something_is_found_in_the_docstrings() -> None:
    texts = " ".join(text for _, text in documented())
    assert {"GenerationError", "ContextOverflowError", "PackageError", "ProviderError"} <= set(
        re.findall(r"\w+Error", texts)
    )
    assert "PROVIDERS" in texts


def test_every_error_of_the_family_can_be_imported() -> None:
    for module in pkgutil.walk_packages(gpt2_edge.__path__, "gpt2_edge."):
        if module.name.rpartition(".")[2] not in ("__main__", "lm_eval_adapter"):
            importlib.import_module(module.name)

    def family(kind: type[Any]) -> Iterator[type[Any]]:
        for derived in kind.__subclasses__():
            yield derived
            yield from family(derived)

    # The command's own stay within the command.
    ours = [
        kind
        for kind in family(GPT2EdgeError)
        if kind.__module__.startswith("gpt2_edge.")
        and not kind.__module__.startswith("gpt2_edge_cli.")
    ]
    assert len(ours) >= 8
    for kind in ours:
        assert getattr(gpt2_edge, kind.__name__) is kind


def test_an_extra_is_installed_as_the_readme_says() -> None:
    assert errors.install_hint("export") == "pip install '.[export]' in a clone of gpt2-edge"
