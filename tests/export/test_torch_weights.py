"""pytorch_model.bin: whole, sharded and from old versions of torch; never run as code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge.errors import CheckpointError, MissingDependencyError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from helpers import assert_one_line, random_config, random_tensors

CONFIG = random_config()


def write_config(folder: Path) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    return folder


def named_tensors(torch: Any) -> dict[str, Any]:
    return {
        f"transformer.{name}": torch.from_numpy(value)
        for name, value in random_tensors(CONFIG).items()
    }


def assert_holds_the_weights(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    for name, expected in random_tensors(CONFIG).items():
        np.testing.assert_array_equal(checkpoint.tensor(name), expected, err_msg=name)


@pytest.mark.optimum
def test_one_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(named_tensors(torch), tmp_path / "pytorch_model.bin")
    assert_holds_the_weights(write_config(tmp_path))


@pytest.mark.optimum
def test_file_of_torch_before_1_6(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    # Many checkpoints of 2019 and 2020 on the hub still have this format.
    torch.save(
        named_tensors(torch),
        tmp_path / "pytorch_model.bin",
        _use_new_zipfile_serialization=False,
    )
    assert_holds_the_weights(write_config(tmp_path))


@pytest.mark.optimum
def test_shards(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = named_tensors(torch)
    weight_map = {}
    for shard in range(2):
        part = {name: tensors[name] for name in list(tensors)[shard::2]}
        torch.save(part, tmp_path / f"pytorch_model-{shard}.bin")
        weight_map |= dict.fromkeys(part, f"pytorch_model-{shard}.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}), "utf-8")
    assert_holds_the_weights(write_config(tmp_path))


@pytest.mark.optimum
def test_bfloat16_and_parameters(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {
        name: torch.nn.Parameter(value.bfloat16()) for name, value in named_tensors(torch).items()
    }
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    table = open_checkpoint(write_config(tmp_path)).tensor("wte.weight")
    expected = tensors["transformer.wte.weight"].detach().float().numpy()
    np.testing.assert_array_equal(table, expected)


@pytest.mark.optimum
def test_safetensors_come_first(tmp_path: Path) -> None:
    from helpers import write_random_checkpoint

    write_random_checkpoint(tmp_path, CONFIG)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
    assert_holds_the_weights(tmp_path)


class Malicious:
    """A pickle that makes the folder `marker` when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.optimum
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    marker = tmp_path / "code was run"
    content = named_tensors(torch) | {"extra": Malicious(marker)}
    file = tmp_path / "pytorch_model.bin"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(write_config(tmp_path))
    assert_one_line(caught.value, file)
    assert not marker.exists()


@pytest.mark.optimum
@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 half a zip"])
def test_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(write_config(tmp_path))
    assert_one_line(caught.value, file)


@pytest.mark.optimum
def test_file_that_holds_no_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save([1, 2], tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(write_config(tmp_path))
    assert_one_line(caught.value, tmp_path / "pytorch_model.bin", "list")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "ckpt.pt"])
def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / name).write_bytes(b"whatever")
    write_config(tmp_path)
    source = tmp_path / name if name.endswith(".pt") else tmp_path
    with pytest.raises(MissingDependencyError) as caught:
        open_checkpoint(source)
    assert_one_line(caught.value, tmp_path / name, "pip install torch")
