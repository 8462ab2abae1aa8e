"""spec/graphs.json, which every runtime runs."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.files import graph_rules
from gpt2_edge.files.onnx_file import read_onnx
from gpt2_edge.files.protobuf import OnnxFileError
from helpers import assert_one_line

_FILE = Path(__file__).resolve().parents[2] / "spec" / "graphs.json"
SPEC: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))


def test_the_rule() -> None:
    assert {*SPEC["with_graphs"]} == graph_rules.WITH_GRAPHS
    assert {*SPEC["domains"]} == graph_rules.DOMAINS
    assert SPEC["compiled"] == [graph_rules.COMPILED]


@pytest.mark.parametrize("case", SPEC["refused"], ids=lambda case: case["name"])
def test_refused(case: dict[str, Any]) -> None:
    content = base64.b64decode(case["graph"])
    for source in (content, io.BytesIO(content)):
        with pytest.raises(OnnxFileError) as raised:
            read_onnx(source)
        assert_one_line(raised.value, case["names"])
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("case", SPEC["borne"], ids=lambda case: case["name"])
def test_borne(case: dict[str, Any]) -> None:
    assert read_onnx(base64.b64decode(case["graph"])).operators["Relu"] == 1
