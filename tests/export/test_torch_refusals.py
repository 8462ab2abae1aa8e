"""Files of torch.save that hold more than weights: told in our words, without torch's advice."""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from helpers import assert_one_line, random_config, random_tensors

pytestmark = pytest.mark.optimum

CONFIG = random_config()
TABLE = "transformer.wte.weight"


def state(torch: Any) -> dict[Any, Any]:
    return {
        f"transformer.{name}": torch.from_numpy(value)
        for name, value in random_tensors(CONFIG).items()
    }


def save(torch: Any, folder: Path, content: Any, **arguments: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    torch.save(content, folder / "pytorch_model.bin", **arguments)
    return folder


@pytest.mark.filterwarnings("error")
def refused(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert_one_line(caught.value, folder)
    assert message.isprintable()
    assert len(message) < 600
    for advice in ("weights_only", "add_safe_globals", "trust", "options", "Re-running"):
        assert advice not in message
    return caught.value


@dataclass
class GPTConfig:
    n_layer: int = 12


class Anything:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code was run",)


OBJECTS = {
    "a dataclass": (GPTConfig(), "GPTConfig"),
    "arguments": (argparse.Namespace(lr=1), "argparse.Namespace"),
    "a path": (Path("x"), "pathlib"),
    "code": (Anything(), "print"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", OBJECTS)
def test_what_was_refused_is_named(torch: Any, tmp_path: Path, case: str, zipped: bool) -> None:
    value, name = OBJECTS[case]
    content = state(torch) | {"extra": value}
    save(torch, tmp_path, content, _use_new_zipfile_serialization=zipped)
    assert_one_line(refused(tmp_path), name, "save")


def test_class_of_the_program_that_wrote_it(torch: Any, tmp_path: Path) -> None:
    """build-nanogpt's train_gpt2.py saves its configuration as an object."""
    code = """
import sys, torch
from dataclasses import dataclass
@dataclass
class GPTConfig:
    n_layer: int = 2
torch.save({"model": {}, "config": GPTConfig(), "step": 1}, sys.argv[1])
"""
    file = tmp_path / "model_00001.pt"
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)
    assert_one_line(refused(file), "__main__.GPTConfig", "model_args", "state_dict()")


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("how", ["zipped", "old", "pickle"])
def test_pickles_of_other_protocols(
    torch: Any, tmp_path: Path, protocol: int, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = state(torch)
    if how == "pickle":
        save(torch, tmp_path, {})
        (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps([1], protocol))
    else:
        save(
            torch,
            tmp_path,
            content,
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=how == "zipped",
        )
    assert_one_line(refused(tmp_path), f"protocol {protocol}", "torch.save")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5),
        np.float32(1.5),
        np.int64(3),
        np.arange(4.0),
        np.array(["a", "b"]),
        [np.bool_(True), {"x": np.float16(2)}],
    ],
    ids=repr,
)
@pytest.mark.parametrize("zipped", [True, False])
def test_values_of_numpy_beside_the_weights_are_skipped(
    torch: Any, tmp_path: Path, value: Any, zipped: bool
) -> None:
    content = state(torch) | {"best_val_loss": value}
    save(torch, tmp_path, content, _use_new_zipfile_serialization=zipped)
    allowed = set(torch.serialization.get_safe_globals())
    checkpoint = open_checkpoint(tmp_path)
    np.testing.assert_array_equal(
        checkpoint.tensor("wte.weight"), random_tensors(CONFIG)["wte.weight"]
    )
    assert set(torch.serialization.get_safe_globals()) == allowed  # as before, for other callers


def quantized(torch: Any, table: Any) -> Any:
    return torch.quantize_per_tensor(table, 0.1, 0, torch.qint8)


ENTRIES: dict[str, tuple[Any, str]] = {
    "None": (lambda torch, table: None, "NoneType"),
    "text": (lambda torch, table: "weight", "str"),
    "a number": (lambda torch, table: 1.5, "float"),
    "a list": (lambda torch, table: table.tolist(), "list"),
    "an array": (lambda torch, table: table.numpy(), "NumPy"),
    "sparse": (lambda torch, table: table.to_sparse(), "sparse"),
    "sparse rows": (lambda torch, table: table.to_sparse_csr(), "sparse"),
    "meta": (lambda torch, table: table.to("meta"), "meta"),
    "quantized": (quantized, "quantized"),
    "integers": (lambda torch, table: table.to(torch.int8), "int8"),
    "booleans": (lambda torch, table: table > 0, "bool"),
    "complex": (lambda torch, table: table.to(torch.complex64), "complex64"),
    "8-bit floats": (lambda torch, table: table.to(torch.float8_e4m3fn), "float8"),
    "expanded": (lambda torch, table: torch.zeros(1).expand(101, 32), "fewer values"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("case", ENTRIES)
def test_entry_that_is_no_dense_tensor_of_floats(torch: Any, tmp_path: Path, case: str) -> None:
    make, part = ENTRIES[case]
    content = state(torch)
    content[TABLE] = make(torch, content[TABLE])
    save(torch, tmp_path, content)
    assert_one_line(refused(tmp_path), "wte.weight", part)


@pytest.mark.parametrize("key", [5, None, (1, 2), b"x"])
def test_key_that_is_no_name(torch: Any, tmp_path: Path, key: Any) -> None:
    save(torch, tmp_path, state(torch) | {key: torch.zeros(1)})
    assert_one_line(refused(tmp_path), repr(key))


def test_state_dict_inside_of_something(torch: Any, tmp_path: Path) -> None:
    save(torch, tmp_path, {"state_dict": state(torch), "epoch": 3})
    assert_one_line(refused(tmp_path), "wte.weight is missing", "'state_dict'")


def test_git_lfs_pointer(torch: Any, tmp_path: Path) -> None:
    save(torch, tmp_path, {})
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:7cb1\nsize 5\n"
    (tmp_path / "pytorch_model.bin").write_text(pointer)
    assert_one_line(refused(tmp_path), "is a Git LFS pointer, not the file itself: git lfs pull")
    (tmp_path / "ckpt.pt").write_text(pointer)
    assert_one_line(refused(tmp_path / "ckpt.pt"), "git lfs pull")


def test_torchscript(torch: Any, tmp_path: Path) -> None:
    save(torch, tmp_path, {})
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "pytorch_model.bin")
    assert_one_line(refused(tmp_path), "TorchScript")


def test_compressed_archive(torch: Any, tmp_path: Path) -> None:
    """A few megabytes of it would become gigabytes."""
    save(torch, tmp_path, state(torch))
    file = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    assert_one_line(refused(tmp_path), "compressed")


def test_half_of_a_file(torch: Any, tmp_path: Path) -> None:
    save(torch, tmp_path, state(torch))
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:5000])
    assert_one_line(refused(tmp_path), "no whole file")


@pytest.mark.parametrize("kind", ["folder", "empty"])
def test_no_file(torch: Any, tmp_path: Path, kind: str) -> None:
    save(torch, tmp_path, {})
    file = tmp_path / "pytorch_model.bin"
    file.unlink()
    file.mkdir() if kind == "folder" else file.touch()
    refused(tmp_path)


def test_torch_that_cannot_skip_values_of_numpy(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 2.5."""
    monkeypatch.delattr(torch.serialization, "safe_globals")
    save(torch, tmp_path, state(torch) | {"best_val_loss": np.float64(1.5)})
    assert_one_line(refused(tmp_path), "multiarray.scalar", "save the state dict alone")
