"""Folders without a manifest: no hashes, but the same bounds and the same rules for paths."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest

from gpt2_edge_cli.main import main
from robustness.packages import a_few_ids, refusal


def change_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    path = folder / name
    raw = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(raw | changes), "utf-8")


def set_location(folder: Path, location: str) -> None:
    """Have the position table lie in `location`; it is written to weights.bin."""
    model = onnx.load(folder / "model.onnx")
    (table,) = (t for t in model.graph.initializer if t.name == "wpe.weight")
    (folder / "weights.bin").write_bytes(table.raw_data)
    table.ClearField("raw_data")
    table.data_location = onnx.TensorProto.EXTERNAL
    table.external_data.add(key="location", value=location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_it_is_described_without_being_loaded(
    stock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(ort, "InferenceSession")
    assert main(["info", str(stock)]) == 0
    shown = capsys.readouterr().out
    assert "optimum, concat cache" in shown
    assert "written by pytorch" in shown


@pytest.mark.parametrize("key", ["n_layer", "n_head", "n_embd", "n_positions", "vocab_size"])
@pytest.mark.parametrize("value", [10**7 + 1, 2**31, 10**12, 10**400, 0, -1, 1.5, "2", True, [2]])
def test_sizes_beyond_any_model(stock: Path, key: str, value: Any) -> None:
    change_config(stock, **{key: value})
    began = time.process_time()
    message = refusal(stock)
    assert f"config.json says {key} = " in message
    assert time.process_time() - began < 5  # no list of ten million names


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"n_layer":' + b"1" * 5000 + b"}", b"\xff", b"[]", b'{"a":1,"a":2}', b""],
    ids=lambda content: repr(content[:12]),
)
def test_json_that_no_parser_likes(stock: Path, name: str, content: bytes) -> None:
    (stock / name).write_bytes(content)
    assert f"{name} cannot be read as JSON" in refusal(stock)


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "generation_config.json"])
def test_links_out_of_the_folder_are_not_followed(stock: Path, name: str) -> None:
    change_config(stock, "generation_config.json", eos_token_id=5)
    (stock / name).rename(stock.parent / "outside")
    (stock / name).symlink_to("../outside")
    assert f"{name} is a link out of the package" in refusal(stock)


@pytest.mark.parametrize("location", ["../weights.bin", "sub/weights.bin", "/dev/zero", "none.bin"])
def test_weights_elsewhere_are_not_read(stock: Path, location: str) -> None:
    set_location(stock, location)
    assert "which is no file of the folder" in refusal(stock)


def test_weights_behind_a_link_out_of_the_folder_are_not_read(stock: Path) -> None:
    set_location(stock, "weights.bin")
    expected = a_few_ids(stock)
    (stock / "weights.bin").rename(stock.parent / "weights.bin")
    (stock / "weights.bin").symlink_to("../weights.bin")
    assert "which is no file of the folder" in refusal(stock)
    (stock / "weights.bin").unlink()
    (stock.parent / "weights.bin").rename(stock / "weights.bin")
    assert a_few_ids(stock) == expected


def test_what_else_lies_in_the_folder_does_not_matter(stock: Path) -> None:
    (stock / "sub").mkdir()
    (stock / "link").symlink_to("/dev/zero")
    (stock / "broken").symlink_to("nowhere")
    assert len(a_few_ids(stock)) == 4


def test_a_context_longer_than_the_position_table(stock: Path) -> None:
    change_config(stock, n_positions=65)
    assert "has 64 positions, config.json says 65" in refusal(stock)
