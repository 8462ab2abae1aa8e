"""Headers of safetensors files, which are not believed: hostile ones end in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.checkpoint.readers import as_float32
from gpt2_edge_export.checkpoint.safetensors_file import SafetensorsReader
from helpers import assert_one_line, random_config, write_random_checkpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:7cb1\nsize 548105171\n"


def write(file: Path, header: Any, data: bytes = bytes(24)) -> Path:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(content).to_bytes(8, "little") + content + data)
    return file


def entry(dtype: Any = "F32", shape: Any = (2, 3), offsets: Any = (0, 24)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def refused(file: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        SafetensorsReader([file])
    assert_one_line(caught.value, file)
    assert len(str(caught.value)) < 1000
    return caught.value


def test_whole_file(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    header = {"__metadata__": {"format": "pt"}, "a": entry()}
    reader = SafetensorsReader([write(tmp_path / "a", header, values.tobytes())])
    assert reader.shapes == {"a": (2, 3)}
    np.testing.assert_array_equal(reader.read("a"), values.reshape(2, 3))


HEADERS: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", ""),
    "a list": ([], "no JSON object"),
    "nested deeply": (b"[" * 100_000, "nested"),
    "a name twice": (b'{"a": {}, "a": {}}', "'a' twice"),
    "a tensor that is a list": ({"a": []}, "'a'"),
    "no dtype": ({"a": {}}, "dtype None"),
    "dtype of another type": ({"a": entry(dtype=["F32"])}, "['F32']"),
    "negative size": ({"a": entry(shape=(-2, -3))}, "shape"),
    "fractional size": ({"a": entry(shape=(2.0, 3))}, "shape"),
    "huge size": ({"a": entry(shape=(10**400,))}, "shape"),
    "booleans for sizes": ({"a": entry(shape=(True, 6))}, "shape"),
    "many dimensions": ({"a": entry(shape=(1,) * 10_000)}, "shape"),
    "shape beyond the offsets": ({"a": entry(shape=(2**40, 2**40))}, "24 bytes"),
    "shape of another size": ({"a": entry(shape=(2, 2))}, "24 bytes"),
    "offsets beyond the file": ({"a": entry(shape=(2, 300), offsets=(0, 2400))}, "bytes"),
    "offsets backwards": ({"a": entry(offsets=(24, 0))}, "data_offsets"),
    "one offset": ({"a": entry(offsets=(24,))}, "data_offsets"),
    "a gap": ({"a": entry(shape=(3,), offsets=(12, 24))}, "begin"),
    "an overlap": ({"a": entry(), "b": entry(shape=(3,), offsets=(12, 24))}, "begin"),
    "less than the file": ({"a": entry(shape=(3,), offsets=(0, 12))}, "bytes"),
    "name with an escape": ({"\x1b[2J\n": entry(shape=(9,))}, r"'\x1b[2J\n'"),
    "long name": ({"x" * 100_000: entry(shape=(9,))}, "xxx"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_header_that_does_not_agree_with_the_file(tmp_path: Path, case: str) -> None:
    header, part = HEADERS[case]
    assert_one_line(refused(write(tmp_path / "model.safetensors", header)), part)


@pytest.mark.parametrize("length", [0, 7, 2**20, 2**62, 2**64 - 1])
def test_length_of_the_header(tmp_path: Path, length: int) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + b"x" * 100)
    refused(file)


def test_sparse_file_whose_header_is_a_gigabyte(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes((2**30).to_bytes(8, "little"))
    os.truncate(file, 2**31)
    assert_one_line(refused(file), "header has more than")


@settings(max_examples=400, deadline=None)
@seed(11)
@given(data=st.data())
def test_damaged_bytes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever a byte of the header becomes: the same tensors, or one line."""
    file = tmp_path_factory.mktemp("safetensors") / "model.safetensors"
    save_file({"a": np.ones((2, 3), np.float32), "b": np.ones(5, np.float16)}, file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 35))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        reader = SafetensorsReader([file])
        for name in reader.shapes:
            reader.read(name)
    except CheckpointError as error:
        assert_one_line(error, file)


def test_name_in_two_files(tmp_path: Path) -> None:
    files = [write(tmp_path / name, {"a": entry()}) for name in ("one", "two")]
    with pytest.raises(CheckpointError) as caught:
        SafetensorsReader(files)
    assert_one_line(caught.value, "'a'", "one", "two")


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "model.safetensors.index.json"]
)
def test_git_lfs_pointer(tmp_path: Path, file: str) -> None:
    write_random_checkpoint(tmp_path, random_config(), shards=2 if "index" in file else 1)
    (tmp_path / file).write_bytes(POINTER)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(
        caught.value,
        tmp_path / file,
        "is a Git LFS pointer, not the file itself: git lfs pull",
    )


def test_git_lfs_pointer_in_place_of_a_shard(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, random_config(), shards=2)
    shard = tmp_path / "model-00002-of-00002.safetensors"
    shard.write_bytes(POINTER)
    assert_one_line(refused(shard), "git lfs pull")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_only_regular_files_are_opened(tmp_path: Path, name: str, kind: str) -> None:
    write_random_checkpoint(tmp_path, random_config())
    path = tmp_path / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nothing")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, path)


WEIGHT_MAPS: dict[str, Any] = {
    "mixed types": {"a": "model-00001-of-00002.safetensors", "b": 5},
    "lists": {"a": ["model-00001-of-00002.safetensors"]},
    "objects": {"a": {}},
    "null": {"a": None},
    "the folder above": {"a": "../model.safetensors"},
    "deep": {"a": "sub/../../model.safetensors"},
    "absolute": {"a": "/etc/passwd"},
    "of Windows": {"a": "C:\\model.safetensors"},
    "empty": {"a": ""},
    "NUL": {"a": "model\x00.safetensors"},
    "the folder itself": {"a": "."},
    "an escape": {"a": "\x1b[2J\n.safetensors"},
}


@pytest.mark.parametrize("case", WEIGHT_MAPS)
def test_index_that_names_no_shard(tmp_path: Path, case: str) -> None:
    folder = write_random_checkpoint(tmp_path / "c", random_config(), shards=2)
    write_random_checkpoint(tmp_path, random_config())  # what a name out of the folder would find
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": WEIGHT_MAPS[case]}), "utf-8")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert_one_line(caught.value, folder)
    assert str(caught.value).isprintable()


def test_shard_in_a_subfolder(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, random_config(), shards=2)
    (tmp_path / "sub").mkdir()
    index = tmp_path / "model.safetensors.index.json"
    for shard in tmp_path.glob("model-*.safetensors"):
        shard.rename(tmp_path / "sub" / shard.name)
    index.write_text(index.read_text("utf-8").replace('"model-', '"sub/model-'), "utf-8")
    assert open_checkpoint(tmp_path).tensor("wte.weight").shape == (101, 32)


@pytest.mark.filterwarnings("error")
def test_float64_beyond_float32_is_one_line_without_a_warning() -> None:
    with pytest.raises(CheckpointError) as caught:
        as_float32(np.array([1e300, 1.0, -1e300]), "h.0.ln_1.bias", "here")
    assert_one_line(caught.value, "here", "h.0.ln_1.bias", "2 NaN or infinite")
