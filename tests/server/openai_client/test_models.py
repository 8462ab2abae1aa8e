"""Models by the `openai` package, and the documentation's example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from gpt2_edge import Generator
from server.openai_client.calls import drawn
from server.process import Served


def test_list_and_retrieve(client: Any, model: str) -> None:
    (found,) = client.models.list().data
    assert found.object == "model"
    assert found.id == model
    assert "/" not in found.id
    assert client.models.retrieve(model).id == model


def test_another_name(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"


def test_the_example_of_the_documentation(
    server: Served, generator: Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llguidance")
    text = (Path(__file__).resolve().parents[3] / "docs/SERVER.md").read_text("utf-8")
    example = text.partition("```python\n")[2].partition("```")[0]
    assert "http://127.0.0.1:8080" in example
    example = example.replace("http://127.0.0.1:8080", server.url)
    exec(compile(example, "SERVER.md", "exec"), {})
    settings = {"temperature": 0.8, "seed": 7, "max_new_tokens": 24}
    assert capsys.readouterr().out.startswith(f"{drawn(generator, **settings)}\n")
