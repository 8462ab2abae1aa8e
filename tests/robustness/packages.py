"""Small packages that a test may spoil, and what must come of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from gpt2_edge import GenerationConfig, Generator, GPT2EdgeError

Change = Callable[[onnx.ModelProto], Any]
_LINE = 1000


def assert_line(error: GPT2EdgeError) -> str:
    """The message of `error`: one printable line of bounded length."""
    message = str(error)
    assert message
    assert message.isprintable()
    assert len(message) <= _LINE
    return message


def refusal(folder: Path, **options: Any) -> str:
    """The line with which loading, or else the first step, is refused."""
    with pytest.raises(GPT2EdgeError) as raised:
        Generator.load(folder, **options)
    return assert_line(raised.value)


def a_few_ids(folder: Path) -> tuple[int, ...]:
    config = GenerationConfig(max_new_tokens=4, ignore_eos=True)
    return Generator.load(folder).generate([5, 7, 3], config).ids


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Apply `change` to the manifest."""
    path = folder / "manifest.json"
    raw = json.loads(path.read_text("utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), "utf-8")


def list_file(folder: Path, name: str) -> None:
    """Have the manifest list the file `name` as it is."""
    content = (folder / name).read_bytes()
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit(folder, lambda raw: raw["files"].update({name: record}))


def change_graph(folder: Path, change: Change, name: str = "model.onnx") -> None:
    """Apply `change` to a graph, and have the manifest agree with the new file."""
    model = onnx.load(folder / name, load_external_data=False)
    change(model)
    (folder / name).write_bytes(model.SerializeToString())
    list_file(folder, name)


def move_weights(folder: Path, location: str, file: str | None = None) -> None:
    """Put the largest weights of model.onnx into `file`, which the graph calls `location`."""
    target = folder / (file or location)
    target.parent.mkdir(exist_ok=True)
    content = bytearray()

    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) < 1024:
                continue
            for key, value in (
                ("location", location),
                ("offset", len(content)),
                ("length", len(tensor.raw_data)),
            ):
                tensor.external_data.add(key=key, value=str(value))
            content.extend(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL

    change_graph(folder, change)
    target.write_bytes(content)
