"""All of a package or nothing: whatever interrupts an export, and whatever lies in its way."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import ExportError
from gpt2_edge_export import draft as draft_module
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.package import atomic_folder
from helpers import assert_one_line, random_config, write_random_checkpoint

OPTIONS = ExportOptions(tokenizer=False)
FORCED = ExportOptions(tokenizer=False, force=True)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_random_checkpoint(tmp_path / "checkpoint", random_config())


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """An empty folder, in which nothing may be left."""
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


def snapshot(folder: Path) -> dict[str, str]:
    """Path -> hash of all files below `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_only_the_package_is_left(checkpoint: Path, room: Path) -> None:
    export_package(checkpoint, room / "package", OPTIONS)
    assert [path.name for path in room.iterdir()] == ["package"]


def test_relative_output(checkpoint: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(room)
    report = export_package(checkpoint, "package", OPTIONS)
    assert Generator.load("package").manifest == report.package.manifest


def test_empty_folder_may_be_the_output(checkpoint: Path, room: Path) -> None:
    export_package(checkpoint, room, OPTIONS)
    assert (room / "manifest.json").is_file()


class Interrupt(BaseException):
    """What nobody catches."""


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, Interrupt])
@pytest.mark.parametrize(
    "step", ["write_graph", "write_json", "make_self_test", "model_card", "file_records"]
)
def test_interrupted_export_leaves_nothing(
    checkpoint: Path,
    room: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: type[BaseException],
) -> None:
    monkeypatch.setattr(draft_module, step, raiser(error))
    with pytest.raises(error):
        export_package(checkpoint, room / "package", OPTIONS)
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("step", ["write_graph", "make_self_test"])
def test_interrupted_replacement_keeps_the_old_package(
    checkpoint: Path, room: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    export_package(checkpoint, room / "package", OPTIONS)
    before = snapshot(room)
    monkeypatch.setattr(draft_module, step, raiser(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export_package(checkpoint, room / "package", FORCED)
    assert snapshot(room) == before


def test_old_package_comes_back_if_the_new_one_cannot_be_put_in_place(
    checkpoint: Path, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_package(checkpoint, room / "package", OPTIONS)
    before = snapshot(room)
    rename = Path.rename

    def refuse_the_new(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room / "package", FORCED)
    assert_one_line(caught.value, room / "package", "Permission denied")
    assert snapshot(room) == before


def raiser(error: type[BaseException]):  # type: ignore[no-untyped-def]
    def stop(*_args: object, **_options: object) -> None:
        raise error

    return stop


def test_output_that_exists_is_kept(checkpoint: Path, room: Path) -> None:
    export_package(checkpoint, room / "package", OPTIONS)
    before = snapshot(room)
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room / "package", ExportOptions("fp32", tokenizer=False))
    assert_one_line(caught.value, room / "package", "--force")
    assert snapshot(room) == before


def test_force_replaces_all_of_an_older_package(checkpoint: Path, room: Path) -> None:
    export_package(checkpoint, room / "package", ExportOptions("fp32", tokenizer=False))
    (room / "package" / "left over").write_text("old", "utf-8")
    report = export_package(checkpoint, room / "package", FORCED)
    assert report.package.manifest.recipe["name"] == "int4"
    assert not (room / "package" / "left over").exists()
    assert [path.name for path in room.iterdir()] == ["package"]


def test_force_replaces_nothing_but_packages(checkpoint: Path, room: Path) -> None:
    (room / "thesis.txt").write_text("three years of work", "utf-8")
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room, FORCED)
    assert_one_line(caught.value, room, "not a package")
    assert (room / "thesis.txt").read_text("utf-8") == "three years of work"


def test_force_does_not_replace_the_checkpoint(checkpoint: Path) -> None:
    before = snapshot(checkpoint)
    with pytest.raises(ExportError):
        export_package(checkpoint, checkpoint, FORCED)
    assert snapshot(checkpoint) == before


def test_output_that_is_a_file(checkpoint: Path, room: Path) -> None:
    (room / "file").write_text("kept", "utf-8")
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room / "file", FORCED)
    assert_one_line(caught.value, room / "file")
    assert (room / "file").read_text("utf-8") == "kept"


@pytest.mark.parametrize("dangling", [True, False])
def test_symbolic_link_is_refused(checkpoint: Path, room: Path, dangling: bool) -> None:
    target = room / "target"
    if not dangling:
        export_package(checkpoint, target, OPTIONS)
    before = snapshot(room)
    (room / "link").symlink_to(target)
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room / "link", FORCED)
    assert_one_line(caught.value, room / "link")
    assert (room / "link").is_symlink()
    (room / "link").unlink()
    assert snapshot(room) == before


def test_output_in_a_folder_that_does_not_exist(checkpoint: Path, room: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room / "nothing" / "package", OPTIONS)
    assert_one_line(caught.value, room / "nothing")
    assert list(room.iterdir()) == []


def test_output_that_appears_meanwhile_is_kept(room: Path) -> None:
    destination = room / "package"
    with pytest.raises(ExportError) as caught, atomic_folder(destination):
        write_text(destination / "file", "theirs")
    assert_one_line(caught.value, destination)
    assert snapshot(room) == {"package/file": hashlib.sha256(b"theirs").hexdigest()}


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text, "utf-8")


# Room in bytes, from the pages that the graph and the whole package need.
DISKS = {
    "early in the weights": lambda graph, whole: 1 << 20,
    "late in the weights": lambda graph, whole: graph - (64 << 10),
    "in the tokenizer": lambda graph, whole: graph + (64 << 10),
    "in the last file": lambda graph, whole: whole - PAGE,
}
PAGE = 4096


@pytest.mark.parametrize("end", DISKS)
def test_full_disk_leaves_nothing(
    sample_checkpoint: Path, sample_int4: Path, room: Path, end: str
) -> None:
    pages = {p.name: -(-p.stat().st_size // PAGE) * PAGE for p in sample_int4.iterdir()}
    size = DISKS[end](pages["model.onnx"], sum(pages.values()))
    with small_disk(room, size), pytest.raises(ExportError) as caught:
        export_package(sample_checkpoint, room / "package", ExportOptions(report=False))
    assert_one_line(caught.value, room / "package", "No space left")


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of `size` bytes in `folder`, on which nothing may be left."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system needs root")
    try:
        yield
    finally:
        left = list(folder.iterdir())
        subprocess.run(["umount", str(folder)], check=True)
    assert left == []
