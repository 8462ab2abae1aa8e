"""Folders and files of other formats: what was found, and how to convert it, in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint import checkpoint as module
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from helpers import assert_one_line, random_config, write_random_checkpoint

CONFIG = random_config()


def refused(source: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(source)
    assert_one_line(caught.value, source)
    assert len(str(caught.value)) < 1000
    return caught.value


@pytest.mark.parametrize("config", [True, False])
@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("tf_model.h5", "from_tf=True"),
        ("flax_model.msgpack", "from_flax=True"),
        ("m.gguf", "gguf_file"),
        ("model-1000.index", "convert_gpt2_original_tf_checkpoint"),
        ("model.ckpt.index", "convert_gpt2_original_tf_checkpoint"),
        ("zero_to_fp32.py", "zero_to_fp32.py"),
        ("global_step500", "DeepSpeed"),
        ("__0_0.distcp", "torch.distributed"),
        ("model.onnx", "ONNX"),
        ("manifest.json", "package"),
        ("model.fp16.safetensors", "rename"),
        ("pytorch_model.fp16.bin", "rename"),
        ("model-00001-of-00002.safetensors", "index.json is missing"),
        ("pytorch_model-00001-of-00002.bin", "index.json is missing"),
        ("adapter_model.safetensors", "adapter"),
        ("ckpt.pt", "nanoGPT"),
        ("epoch=3.ckpt", "Lightning"),
        ("checkpoint-500", "Trainer"),
    ],
)
def test_folder(tmp_path: Path, file: str, what: str, config: bool) -> None:
    if config:
        (tmp_path / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    (tmp_path / file).touch()
    assert_one_line(refused(tmp_path), repr(file), what)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("model.safetensors", "give the folder"),
        ("pytorch_model.bin", "give the folder"),
        ("config.json", "give the folder"),
        ("m.gguf", "llama.cpp"),
        ("tf_model.h5", "from_tf=True"),
        ("flax_model.msgpack", "from_flax=True"),
        ("model.onnx", "ONNX"),
        ("notes.txt", "nanoGPT .pt"),
    ],
)
def test_file(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF")
    assert_one_line(refused(tmp_path / name), what)


@pytest.mark.parametrize("whole", [True, False])
def test_adapter(tmp_path: Path, whole: bool) -> None:
    """Even beside whole weights, which transformers would not take then."""
    if whole:
        write_random_checkpoint(tmp_path, CONFIG)
    settings = {"peft_type": "LORA", "base_model_name_or_path": "openai-community/gpt2"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    (tmp_path / "adapter_model.safetensors").touch()
    assert_one_line(
        refused(tmp_path), "'LORA'", "'openai-community/gpt2'", "merge_and_unload", "adapter"
    )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"base_model_name_or_path": ["\\u001b[2J"]}', b"[" * 100_000]
)
def test_adapter_with_a_damaged_config(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "adapter_config.json").write_bytes(content)
    assert_one_line(refused(tmp_path), "merge_and_unload")


def test_name_of_a_file_that_steers_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J\n.gguf").touch()
    error = refused(tmp_path)
    assert_one_line(error, r"'\x1b[2J\n.gguf'")
    assert str(error).isprintable()


def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ckpt.pt")
    assert_one_line(refused(tmp_path / "ckpt.pt"), "neither a file nor a folder")


def test_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / ("x" * 5000))
    assert_one_line(caught.value, "too long")


def no_permission(*_: Any, **__: Any) -> Any:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("call", ["stat", "scandir", "open"])
def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Denied by hand: tests may run as a user who may do everything."""
    folder = write_random_checkpoint(tmp_path / "c", CONFIG)
    if call == "scandir":
        (folder / "model.safetensors").unlink()
    denied: dict[str, Callable[[], None]] = {
        "stat": lambda: monkeypatch.setattr(module.Path, "stat", no_permission),
        "scandir": lambda: monkeypatch.setattr(os, "scandir", no_permission),
        "open": lambda: monkeypatch.setattr(Path, "open", no_permission),
    }
    denied[call]()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    monkeypatch.undo()
    assert_one_line(caught.value, folder, "Permission denied")


@pytest.mark.parametrize("name", [b"\xff", "\u65e5\u672c \u00fc#".encode(), b"a\nb\x1b[2J"])
def test_folder_of_any_name(tmp_path: Path, name: bytes) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    write_random_checkpoint(folder, CONFIG)
    assert open_checkpoint(folder).tensor("wte.weight").shape == (101, 32)
    config = {key: value for key, value in CONFIG.items() if key != "model_type"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (note,) = open_checkpoint(folder).notes
    assert note.isprintable()
    (folder / "config.json").write_text("{", "utf-8")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert_one_line(caught.value, "config.json")
    assert str(caught.value).isprintable()
