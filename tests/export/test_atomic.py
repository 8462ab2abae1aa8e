"""All of a package or nothing: whatever interrupts an export, and whatever lies in its way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import ExportError
from gpt2_edge_export import draft as draft_module
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.output.package import write_atomically
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
        if self.name == "new":
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
    (room / "package" / "README.md").write_text("edited: no reason to keep it", "utf-8")
    (room / "package" / "config.json").unlink()
    report = export_package(checkpoint, room / "package", FORCED)
    assert report.package.manifest.recipe["name"] == "int4"
    assert Generator.load(room / "package", verify=True).manifest == report.package.manifest
    assert [path.name for path in room.iterdir()] == ["package"]


# What may lie in a package that is not of it, and its name.
FOREIGN: dict[str, Callable[[Path], object]] = {
    "precious": lambda folder: (folder / "precious").write_text("mine", "utf-8"),
    ".hidden": lambda folder: (folder / ".hidden").write_text("mine", "utf-8"),
    "empty": lambda folder: (folder / "empty").mkdir(),
    "link": lambda folder: (folder / "link").symlink_to(folder.parent),
    "dangling": lambda folder: (folder / "dangling").symlink_to("nowhere"),
    "pipe": lambda folder: os.mkfifo(folder / "pipe"),
    "sub": lambda folder: write_text(folder / "sub" / "notes", "mine"),
    "README.md": lambda folder: (
        (folder / "README.md").unlink(),
        write_text(folder / "README.md" / "notes", "mine"),
    ),
    "two\nlines": lambda folder: (folder / "two\nlines").write_text("mine", "utf-8"),
}


@pytest.mark.parametrize("name", FOREIGN, ids=repr)
def test_force_keeps_what_is_no_part_of_the_package(
    checkpoint: Path, room: Path, name: str
) -> None:
    export_package(checkpoint, room / "package", OPTIONS)
    FOREIGN[name](room / "package")
    before = sorted(room.rglob("*")), snapshot(room)
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room / "package", FORCED)
    assert_one_line(caught.value, room / "package", repr(name), "--force")
    assert (sorted(room.rglob("*")), snapshot(room)) == before


def manifest_of(package: Path, **changes: object) -> str:
    content = json.loads((package / "manifest.json").read_text("utf-8"))
    return json.dumps(content | changes)


# Manifests that are not those of a package that we can read.
NO_MANIFESTS: dict[str, Callable[[Path], str]] = {
    "empty object": lambda package: "{}",
    "of a browser extension": lambda package: '{"manifest_version": 3, "name": "x", "version": 1}',
    "of a web app": lambda package: '{"name": "x", "icons": [], "files": {"precious": 1}}',
    "no JSON": lambda package: "a manifest",
    "nothing": lambda package: "",
    "deep": lambda package: "[" * 100_000,
    "newer": lambda package: manifest_of(package, format_version=2),
    "without an architecture": lambda package: manifest_of(package, architecture=None),
    "with files outside": lambda package: manifest_of(package, files={"../precious": {}}),
}


@pytest.mark.parametrize("kind", NO_MANIFESTS)
def test_force_replaces_nothing_but_packages(checkpoint: Path, room: Path, kind: str) -> None:
    folder = room / "folder"
    export_package(checkpoint, room / "package", OPTIONS)
    write_text(folder / "manifest.json", NO_MANIFESTS[kind](room / "package"))
    (folder / "thesis.txt").write_text("three years of work", "utf-8")
    before = snapshot(room)
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, folder, FORCED)
    assert_one_line(caught.value, folder, "not a package")
    assert snapshot(room) == before


def test_force_replaces_no_folder_without_a_manifest(checkpoint: Path, room: Path) -> None:
    (room / "thesis.txt").write_text("three years of work", "utf-8")
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room, FORCED)
    assert_one_line(caught.value, room, "not a package")
    assert (room / "thesis.txt").read_text("utf-8") == "three years of work"


def test_what_comes_into_the_package_meanwhile_is_kept(checkpoint: Path, room: Path) -> None:
    export_package(checkpoint, room / "package", OPTIONS)

    def write(folder: Path) -> None:
        write_text(folder / "file", "new", make=False)
        (room / "package" / "precious").write_text("mine", "utf-8")

    with pytest.raises(ExportError) as caught:
        write_atomically(room / "package", True, write)
    assert_one_line(caught.value, "'precious'")
    assert (room / "package" / "precious").read_text("utf-8") == "mine"
    assert (room / "package" / "manifest.json").exists()
    assert [path.name for path in room.iterdir()] == ["package"]


def test_what_comes_into_the_package_in_the_last_instant_is_kept(
    checkpoint: Path, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_package(checkpoint, room / "package", OPTIONS)
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        if self.name == "package":
            (self / "precious").write_text("mine", "utf-8")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(ExportError) as caught:
        write_atomically(room / "package", True, lambda folder: None)
    assert_one_line(caught.value, room / "package", "'precious'")
    assert (room / "package" / "precious").read_text("utf-8") == "mine"
    assert (room / "package" / "manifest.json").exists()
    assert [path.name for path in room.iterdir()] == ["package"]


def test_an_older_package_is_kept_where_another_comes_in_the_last_instant(
    checkpoint: Path, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_package(checkpoint, room / "package", OPTIONS)
    before = snapshot(room / "package")
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        if self.name == "new":
            write_text(target / "file", "theirs")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(ExportError) as caught:
        write_atomically(room / "package", True, lambda folder: None)
    assert_one_line(caught.value, room / "package")
    assert (room / "package" / "file").read_text("utf-8") == "theirs"
    (hidden,) = room.glob(".gpt2-edge-*")
    assert snapshot(hidden / "old") == before


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
    with pytest.raises(ExportError) as caught:
        write_atomically(
            destination, False, lambda folder: write_text(destination / "file", "theirs")
        )
    assert_one_line(caught.value, destination)
    assert snapshot(room) == {"package/file": hashlib.sha256(b"theirs").hexdigest()}


def write_text(path: Path, text: str, make: bool = True) -> None:
    if make:
        path.parent.mkdir()
    path.write_text(text, "utf-8")


@pytest.mark.parametrize("length", [200, 239, 240, 241, 250, 254, 255])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_names_as_long_as_they_can_be(
    checkpoint: Path, room: Path, length: int, letter: str
) -> None:
    size = len(letter.encode())
    name = letter * (length // size) + "x" * (length % size)
    package = export_package(checkpoint, room / name, OPTIONS).package
    assert package.folder.name == name
    export_package(checkpoint, room / name, FORCED)
    assert [path.name for path in room.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("x" * 256, "File name too long"),
        ("é" * 128, "File name too long"),
        ("nul\0", "null"),
        ("surrogate\udcff", "not UTF-8"),
        ("file/package", "no such folder"),
        ("link/package", "no such folder"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_names_that_cannot_be(checkpoint: Path, room: Path, name: str, part: str) -> None:
    (room / "file").write_text("", "utf-8")
    (room / "link").symlink_to(room / "link")
    for options in (OPTIONS, FORCED):
        with pytest.raises(ExportError) as caught:
            export_package(checkpoint, room / name, options)
        assert_one_line(caught.value, part)
    assert {path.name for path in room.iterdir()} == {"file", "link"}


def test_a_folder_whose_name_is_not_utf8(checkpoint: Path, room: Path) -> None:
    folder = room / os.fsdecode(b"\xff")
    folder.mkdir()
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, folder / "package", OPTIONS)
    assert_one_line(caught.value, r"\udcff", "not UTF-8")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["/proc/x", "/sys/x"])
def test_where_no_folder_can_be_made(checkpoint: Path, name: str) -> None:
    if not Path(name).parent.is_dir():
        pytest.skip("Linux only")
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, name, OPTIONS)
    assert_one_line(caught.value, name, "takes no new folder", "another output")
    assert "No such file" not in str(caught.value)


def test_dots_in_the_output(checkpoint: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (room / "sub").mkdir()
    monkeypatch.chdir(room / "sub")
    export_package(checkpoint, Path("..") / "package", OPTIONS)
    assert Generator.load(room / "package").manifest
    for dots in ("..", "../.", "../../room", "/"):
        with pytest.raises(ExportError) as caught:
            export_package(checkpoint, dots, FORCED)
        assert_one_line(caught.value, "not a package")
    assert {path.name for path in room.iterdir()} == {"package", "sub"}


def test_a_place_where_a_file_system_is_mounted_is_refused_before_any_work(
    checkpoint: Path, room: Path
) -> None:
    with small_disk(room, 1 << 20), pytest.raises(ExportError) as caught:
        write_atomically(room, False, lambda folder: pytest.fail("work was done"))
    assert_one_line(caught.value, room, "mounted")


# Room in bytes, from the pages that the graph and the whole package need.
DISKS = {
    "early in the weights": lambda graph, whole: 1 << 20,
    "late in the weights": lambda graph, whole: graph - (64 << 10),
    "in the tokenizer": lambda graph, whole: graph + (64 << 10),
    "in the last file": lambda graph, whole: whole - PAGE,
}
PAGE = 4096


PLAIN = ExportOptions(calibration=False, report=False)  # in a second


@pytest.fixture(scope="module")
def sample_plain(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = tmp_path_factory.mktemp("plain") / "package"
    export_package(sample_checkpoint, package, PLAIN)
    return package


@pytest.mark.parametrize("end", DISKS)
def test_full_disk_leaves_nothing(
    sample_checkpoint: Path, sample_plain: Path, room: Path, end: str
) -> None:
    pages = {p.name: -(-p.stat().st_size // PAGE) * PAGE for p in sample_plain.iterdir()}
    size = DISKS[end](pages["model.onnx"], sum(pages.values()))
    with small_disk(room, size), pytest.raises(ExportError) as caught:
        export_package(sample_checkpoint, room / "package", PLAIN)
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
