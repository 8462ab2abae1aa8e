"""spec/detokenizing.json, which every runtime runs, through a tokenizer.json of its tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from byte_level import byte_level_tokenizer
from gpt2_edge.text.tokenizer import Tokenizer

_FILE = Path(__file__).resolve().parents[2] / "spec" / "detokenizing.json"
SPEC: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("spec")
    return byte_level_tokenizer(folder, SPEC["vocabulary"], SPEC["special"])


@pytest.mark.parametrize("case", SPEC["cases"], ids=lambda case: case["name"])
def test_pieces(case: dict[str, Any], tokenizer: Tokenizer) -> None:
    stream = tokenizer.stream()
    assert [stream.push(token) for token in case["ids"]] == case["pieces"]
    assert stream.finish() == case["rest"]
    assert tokenizer.decode(case["ids"]) == "".join([*case["pieces"], case["rest"]])
