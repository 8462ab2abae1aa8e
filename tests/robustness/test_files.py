"""Every file that a runtime reads is listed, lies in the package, and is hashed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest

from gpt2_edge import Generator
from gpt2_edge.files.package import open_package
from robustness.packages import (
    a_few_ids,
    change_graph,
    edit,
    list_file,
    move_weights,
    refusal,
)

_CHUNK = "model.prefill.onnx"


@pytest.mark.parametrize("where", ["../evil.onnx", "{absolute}", "sub/evil.onnx"])
def test_a_chunk_file_outside_is_not_run(static: Path, where: str) -> None:
    (static / "sub").mkdir()
    name = where.format(absolute=static.parent / "evil.onnx")
    shutil.copy(static / _CHUNK, static / name)
    edit(static, lambda raw: raw["graph"]["static"].update(chunk_file=name))
    assert "evil.onnx" in refusal(static)
    record = {"bytes": (static / name).stat().st_size, "sha256": 64 * "0"}
    edit(static, lambda raw: raw["files"].update({name: record}))
    assert "is outside the package" in refusal(static)


def test_a_chunk_file_that_is_not_listed(static: Path) -> None:
    shutil.copy(static / _CHUNK, static / "unlisted.onnx")
    edit(static, lambda raw: raw["graph"]["static"].update(chunk_file="unlisted.onnx"))
    assert "it uses 'unlisted.onnx' but does not list it" in refusal(static)


def test_a_chunk_file_is_hashed(static: Path) -> None:
    content = bytearray((static / _CHUNK).read_bytes())
    content[-1] ^= 1
    (static / _CHUNK).write_bytes(content)
    assert f"{_CHUNK} is damaged" in refusal(static)


@pytest.mark.parametrize("name", ["weights.bin", "model.onnx.data", "model.onnx_data"])
def test_weights_under_any_name_are_hashed(package: Path, name: str) -> None:
    expected = a_few_ids(package)
    move_weights(package, name)
    assert f"has weights in '{name}', which the manifest does not list" in refusal(package)
    list_file(package, name)
    assert a_few_ids(package) == expected
    content = bytearray((package / name).read_bytes())
    content[len(content) // 2] ^= 0x40
    (package / name).write_bytes(content)
    assert f"{name} is damaged" in refusal(package)
    Generator.load(package, verify=False)


@pytest.mark.parametrize(
    "location",
    [
        "sub/w.bin",
        "../w.bin",
        "./w.bin",
        "sub/../../w.bin",
        "{absolute}",
        "/dev/zero",
        "",
        "\x1b[2J",
    ],
)
def test_weights_elsewhere_are_not_read(package: Path, location: str) -> None:
    location = location.format(absolute=package.parent / "w.bin")
    (package / "sub").mkdir()
    move_weights(package, location, "w.bin")
    list_file(package, "w.bin")
    for target in (package / "sub" / "w.bin", package.parent / "w.bin"):
        shutil.copy(package / "w.bin", target)
    message = refusal(package)
    assert "which the manifest does not list" in message
    assert refusal(package, verify=False) == message


def _external() -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="hidden", dims=[1], data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="hidden.bin")
    return tensor


@pytest.mark.parametrize("where", ["constant", "sparse", "list"])
def test_weights_are_found_wherever_a_graph_hides_them(package: Path, where: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = _external()
        if where == "constant":
            node = onnx.helper.make_node("Constant", [], ["x"], value=tensor)
            model.graph.node.append(node)
        elif where == "sparse":
            model.graph.sparse_initializer.add().values.CopyFrom(tensor)
        else:
            node = model.graph.node.add(op_type="Constant")
            node.attribute.add(name="many").tensors.append(tensor)

    change_graph(package, change)
    assert "has weights in 'hidden.bin'" in refusal(package)


def test_a_node_that_reads_a_file_of_its_own_is_refused(package: Path) -> None:
    change_graph(package, lambda model: model.graph.node.add(op_type="EPContext"))
    assert "EPContext" in refusal(package)


@pytest.mark.parametrize("name", ["model.onnx", "config.json"])
def test_a_link_out_of_the_package_is_not_followed(package: Path, name: str) -> None:
    (package / name).rename(package.parent / "outside")
    (package / name).symlink_to(package.parent / "outside")
    message = refusal(package)
    assert f"{name} is a link out of the package" in message


def test_a_link_within_the_package_is_followed(package: Path) -> None:
    expected = a_few_ids(package)
    (package / "model.onnx").rename(package / "graph")
    (package / "model.onnx").symlink_to("graph")
    assert a_few_ids(package) == expected


def test_a_package_behind_a_link_is_opened(package: Path) -> None:
    (package.parent / "link").symlink_to(package)
    assert a_few_ids(package.parent / "link") == a_few_ids(package)


@pytest.mark.parametrize("kind", ["circle", "folder", "pipe", "broken"])
def test_what_is_no_regular_file(package: Path, kind: str) -> None:
    path = package / "model.onnx"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "circle" else package / "nothing")
    assert "model.onnx" in refusal(package)


@pytest.mark.parametrize("kind", ["folder", "pipe", "huge"])
def test_a_manifest_that_is_no_small_file(package: Path, kind: str) -> None:
    path = package / "manifest.json"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(16 << 30)
    assert "manifest.json cannot be read" in refusal(package)


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_a_graph_that_is_swapped_while_it_is_loaded(
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    restored: bool,
    large: bool,
) -> None:
    """What was hashed is what is run: the same bytes, or nothing."""
    path = package / "model.onnx"
    expected, genuine = a_few_ids(package), path.read_bytes()
    if large:  # than what is kept in memory
        monkeypatch.setattr("gpt2_edge.files.package_files._IN_MEMORY", 0)
    plain = ort.InferenceSession

    def swapped(*arguments: object, **options: object) -> ort.InferenceSession:
        (package / "other").write_bytes(_negated(genuine))
        path.rename(package / "genuine")
        (package / "other").rename(path)
        try:
            return plain(*arguments, **options)
        finally:
            if restored:
                (package / "genuine").rename(path)

    monkeypatch.setattr(ort, "InferenceSession", swapped)
    if large:
        message = refusal(package)
        assert "was changed while it was loaded" in message or "is damaged" in message
    else:
        assert a_few_ids(package) == expected


def _negated(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.name == "wpe.weight":
            tensor.raw_data = bytes(byte ^ 0x80 for byte in tensor.raw_data)
    return bytes(model.SerializeToString())


def test_a_file_that_is_read_is_the_one_that_was_hashed(package: Path) -> None:
    opened = open_package(package)
    assert opened.read("config.json", 1 << 20) == (package / "config.json").read_bytes()
    (package / "config.json").write_text("{}")
    with pytest.raises(Exception, match=r"config\.json is damaged"):
        opened.read("config.json", 1 << 20)


def test_a_file_in_onnxruntime_s_own_format_is_no_onnx_file(package: Path) -> None:
    """Its name or first bytes would have ONNX Runtime take it without any of these checks."""
    (package / "model.ort").write_bytes(b"\x18\0\0\0ORTM" + bytes(64))
    list_file(package, "model.ort")
    edit(package, lambda raw: raw["graph"].update(file="model.ort"))
    assert "it is no ONNX file" in refusal(package)
