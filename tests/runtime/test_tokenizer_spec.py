"""spec/tokenizers.json: the ids and the text that transformers gives, recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.text.tokenizer import Tokenizer

SPEC = Path(__file__).parents[2] / "spec" / "tokenizers.json"
TOKENIZERS = {item["name"]: item for item in json.loads(SPEC.read_text("utf-8"))["tokenizers"]}

Recorded = tuple[Tokenizer, dict[str, Any]]


@pytest.fixture(params=TOKENIZERS)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    item = TOKENIZERS[request.param]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(item["tokenizer"]), encoding="utf-8")
    return Tokenizer(path), item


def test_ids_of_texts(recorded: Recorded) -> None:
    tokenizer, item = recorded
    assert len(item["encode"]) >= 5
    for case in item["encode"]:
        text = case["text"]
        assert tokenizer.encode(text) == case["ids"], text
        assert tokenizer.encode(text, add_special_tokens=False) == case["without_special"], text
        assert tokenizer.encode(text, parse_special=False) == case["plain"], text


def test_texts_of_ids(recorded: Recorded) -> None:
    tokenizer, item = recorded
    assert len(item["decode"]) >= 4
    for case in [*item["encode"], *item["decode"]]:
        stream = tokenizer.stream()
        pieces = [*map(stream.push, case["ids"]), stream.finish()]
        assert "".join(pieces) == case["decoded"]
        assert tokenizer.decode(case["ids"]) == case["decoded"]
