"""Packages that are damaged or do not fit are refused in one line that names the file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import GenerationConfig, Generator, PackageError
from gpt2_edge.files.manifest_file import read_manifest
from gpt2_edge.files.package import open_package, sha256_of

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def package(sample_int4: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(sample_int4, tmp_path / "package"))


def refusal(package: Path) -> str:
    """The one line with which the package is refused."""
    with pytest.raises(PackageError) as raised:
        Generator.load(package)
    message = str(raised.value)
    assert "\n" not in message
    assert str(package) in message
    return message


def edit(package: Path, change: Edit) -> None:
    """Apply `change` to the manifest."""
    path = package / "manifest.json"
    raw = json.loads(path.read_text("utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), "utf-8")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_the_copy_itself_is_fine(package: Path) -> None:
    assert len(Generator.load(package).generate("It", GenerationConfig(max_new_tokens=2)).ids) == 2


def test_no_such_folder(tmp_path: Path) -> None:
    assert "no such package folder" in refusal(tmp_path / "nothing")


def test_a_file_in_place_of_a_folder(package: Path) -> None:
    assert "no such package folder" in refusal(package / "model.onnx")


def test_a_folder_without_a_manifest(package: Path) -> None:
    (package / "manifest.json").unlink()
    assert "has no manifest.json" in refusal(package)


@pytest.mark.parametrize("content", [b"", b"{", b"no JSON", b'{"format_version": 1', b"\xff\xfe"])
def test_a_manifest_that_is_not_json(package: Path, content: bytes) -> None:
    (package / "manifest.json").write_bytes(content)
    assert "manifest.json cannot be read as JSON" in refusal(package)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"format_version": "1"}'])
def test_json_that_is_no_manifest(package: Path, content: str) -> None:
    (package / "manifest.json").write_text(content)
    message = refusal(package)
    assert "manifest.json" in message
    assert "format_version" in message or "holds no JSON object" in message


def test_a_newer_format(package: Path) -> None:
    edit(package, lambda raw: raw.update(format_version=2))
    message = refusal(package)
    assert "manifest.json has format version 2; this gpt2-edge reads up to 1" in message


def test_what_a_later_version_adds_is_passed_over(package: Path) -> None:
    edit(package, lambda raw: raw.update(later=1))
    edit(package, lambda raw: raw["graph"].update(later=1))
    edit(package, lambda raw: raw["files"]["model.onnx"].update(later=1))
    Generator.load(package)


@pytest.mark.parametrize(
    "key",
    ["name", "architecture", "graph", "recipe", "tokenizer", "eos_token_ids", "files"],
)
def test_a_manifest_without_a_key(package: Path, key: str) -> None:
    edit(package, lambda raw: raw.pop(key))
    message = refusal(package)
    assert "manifest.json is damaged" in message
    assert f"{key} is missing" in message


@pytest.mark.parametrize(
    ("group", "key"), [("architecture", "head_size"), ("graph", "cache"), ("graph", "names")]
)
def test_a_manifest_without_a_key_further_in(package: Path, group: str, key: str) -> None:
    edit(package, lambda raw: raw[group].pop(key))
    message = refusal(package)
    assert "manifest.json is damaged" in message
    assert f"{key} is missing" in message


def test_an_unknown_cache(package: Path) -> None:
    edit(package, lambda raw: raw["graph"].update(cache="paged"))
    message = refusal(package)
    assert "manifest.json has graph.cache 'paged'" in message
    assert "upgrade gpt2-edge" in message


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("architecture", "num_layers", "6"),
        ("architecture", "vocab_size", None),
        ("architecture", "context_length", "512"),
        ("graph", "file", None),
        ("graph", "min_onnxruntime", "newest"),
        ("graph", "min_onnxruntime", 1.23),
    ],
)
def test_a_value_of_another_type(package: Path, group: str, key: str, value: Any) -> None:
    edit(package, lambda raw: raw[group].update({key: value}))
    refusal(package)


def test_a_hash_that_is_none(package: Path) -> None:
    edit(package, lambda raw: raw["files"]["model.onnx"].update(sha256=None))
    assert "model.onnx" in refusal(package)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_layers", 5, "model.onnx needs the input 'past_key_values.5."),
        ("num_layers", 7, "model.onnx has no input 'past_key_values.6."),
        ("num_heads", 8, "model.onnx has other heads"),
        ("head_size", 128, "model.onnx has other heads"),
        ("head_size", 32, "hidden_size is 256, num_heads x head_size only 128"),
    ],
)
def test_a_manifest_of_other_shapes(package: Path, key: str, value: int, message: str) -> None:
    edit(package, lambda raw: raw["architecture"].update({key: value}))
    assert message in refusal(package)


@pytest.mark.parametrize("vocab_size", [8191, 50257])
def test_a_manifest_of_another_vocabulary(package: Path, vocab_size: int) -> None:
    edit(package, lambda raw: raw["architecture"].update(vocab_size=vocab_size))
    assert "model.onnx" in refusal(package)


def test_a_manifest_without_an_input_that_the_graph_needs(package: Path) -> None:
    edit(package, lambda raw: raw["graph"]["names"].update(position_ids=None))
    assert "position_ids" in refusal(package)


@pytest.mark.parametrize("key", ["input_ids", "attention_mask", "position_ids", "logits_to_keep"])
def test_a_manifest_with_another_name_for_an_input(package: Path, key: str) -> None:
    edit(package, lambda raw: raw["graph"]["names"].update({key: "unheard_of"}))
    assert "model.onnx has no input 'unheard_of'" in refusal(package)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("past_key", "unheard_of.{i}"),
        ("past_value", "{i}"),
        ("logits", "unheard_of"),
        ("present_key", "unheard_of.{i}"),
    ],
)
def test_a_manifest_with_another_name_for_an_output_or_the_cache(
    package: Path, key: str, name: str
) -> None:
    edit(package, lambda raw: raw["graph"]["names"].update({key: name}))
    assert "model.onnx" in refusal(package)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json", "README.md"])
def test_a_missing_file(package: Path, name: str) -> None:
    (package / name).unlink()
    assert f"{name} is missing" in refusal(package)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_file_of_another_size(package: Path, name: str) -> None:
    path = package / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    expected = f"{name} has {size - 1} bytes, the manifest says {size}"
    assert expected in refusal(package)


@pytest.mark.parametrize("position", [0, 1, 40, -100_000, -1])
def test_a_flipped_bit_of_the_graph(package: Path, position: int) -> None:
    flip(package / "model.onnx", position)
    assert "model.onnx is damaged: its SHA-256 is" in refusal(package)


def test_a_flipped_bit_of_the_tokenizer(package: Path) -> None:
    flip(package / "tokenizer.json", 5000)
    assert "tokenizer.json is damaged" in refusal(package)


def test_files_that_the_runtime_does_not_read_are_checked_on_request(package: Path) -> None:
    flip(package / "README.md", 3)
    Generator.load(package)
    with pytest.raises(PackageError, match=r"README\.md is damaged"):
        open_package(package).check_hashes()


def test_a_graph_that_onnxruntime_cannot_load(package: Path) -> None:
    (package / "model.onnx").write_bytes(b"no graph")
    record = {"bytes": 8, "sha256": hashlib.sha256(b"no graph").hexdigest()}
    edit(package, lambda raw: raw["files"].update({"model.onnx": record}))
    assert "model.onnx cannot be loaded: it is no ONNX file" in refusal(package)


def test_a_tokenizer_that_cannot_be_read(package: Path) -> None:
    (package / "tokenizer.json").write_bytes(b"{}")
    record = {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    edit(package, lambda raw: raw["files"].update({"tokenizer.json": record}))
    assert "tokenizer.json is no tokenizer that can be read" in refusal(package)


def test_hashes_are_not_compared_without_verify(package: Path) -> None:
    edit(package, lambda raw: raw["files"]["model.onnx"].update(sha256="0" * 64))
    assert "model.onnx is damaged" in refusal(package)
    Generator.load(package, verify=False)


@pytest.mark.parametrize("version", ["99.0", "1.999", "2"])
def test_a_package_for_a_newer_onnxruntime(package: Path, version: str) -> None:
    edit(package, lambda raw: raw["graph"].update(min_onnxruntime=version))
    assert f"needs ONNX Runtime {version} or later" in refusal(package)


@pytest.mark.parametrize("version", ["1.9", "1.20.1", "0.99"])
def test_a_package_for_an_older_onnxruntime(package: Path, version: str) -> None:
    edit(package, lambda raw: raw["graph"].update(min_onnxruntime=version))
    Generator.load(package)


@pytest.mark.parametrize("name", ["../outside.txt", "sub/../../outside.txt", "sub/inside.txt"])
def test_a_path_out_of_the_package(package: Path, name: str) -> None:
    (package / "sub").mkdir()
    for path in (package.parent / "outside.txt", package / "sub" / "inside.txt"):
        path.write_text("text")
    record = {"bytes": 4, "sha256": sha256_of(package.parent / "outside.txt")}
    edit(package, lambda raw: raw["files"].update({name: record}))
    assert f"manifest.files[{name!r}] is outside the package" in refusal(package)


def test_an_absolute_path(package: Path) -> None:
    outside = package.parent / "outside.txt"
    outside.write_text("text")
    record = {"bytes": 4, "sha256": sha256_of(outside)}
    edit(package, lambda raw: raw["files"].update({str(outside): record}))
    assert "is outside the package" in refusal(package)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_is_used_but_not_listed(package: Path, name: str) -> None:
    edit(package, lambda raw: raw["files"].pop(name))
    assert f"it uses '{name}' but does not list it" in refusal(package)


def test_a_manifest_read_and_written_is_the_same(package: Path) -> None:
    text = (package / "manifest.json").read_text("utf-8")
    assert read_manifest(package).to_json() == text


def test_total_bytes(package: Path) -> None:
    files = [file for file in package.iterdir() if file.name != "manifest.json"]
    assert open_package(package).total_bytes == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("weights", ["model.onnx.data", "model.onnx_data"])
def test_external_weights_are_among_the_files_that_are_hashed(package: Path, weights: str) -> None:
    (package / weights).write_bytes(b"weights")
    record = {"bytes": 7, "sha256": 64 * "0"}
    edit(package, lambda raw: raw["files"].update({weights: record}))
    assert f"{weights} is damaged" in refusal(package)
