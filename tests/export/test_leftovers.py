"""What a killed export left is removed by the next one; what a live one writes is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt2_edge.errors import ExportError
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.output.leftovers import remove_leftovers
from gpt2_edge_export.output.package import write_atomically
from gpt2_edge_export.output.workspace import Workspace, workspace_prefix
from helpers import random_config, write_random_checkpoint


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """An empty folder to export into."""
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package to make copies of."""
    folder = tmp_path_factory.mktemp("package")
    checkpoint = write_random_checkpoint(folder / "checkpoint", random_config())
    options = ExportOptions("fp32", tokenizer=False)
    return export_package(checkpoint, folder / "package", options).package.folder


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def running() -> Iterator[int]:
    """The number of a process that runs."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, "utf-8")
    return folder


def write(folder: Path) -> None:
    fill(folder, "new file")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed(destination: Path, code: str = "") -> None:
    """A process that ends while it writes `destination`, without any clean-up."""
    program = f"""
import os
from pathlib import Path
from gpt2_edge_export.output import package
from gpt2_edge_export.output import workspace
def write(folder):
    (folder / "model.onnx").write_text("half")
    os._exit(9)
{code}
package.write_atomically(Path({str(destination)!r}), True, write)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 9


def test_what_a_killed_export_left_is_removed(room: Path) -> None:
    killed(room / "package")
    killed(room / "package")
    killed(room / "other")
    assert len(names(room)) in (2, 3)  # the second may have removed what the first left
    write_atomically(room / "package", False, write)
    (left, package) = names(room)
    assert package == "package"
    assert left.startswith(workspace_prefix(room / "other"))


# The instants at which a replacement may be cut.
INSTANTS = {
    "the older one is set aside": 'if self.name == "new": os._exit(9)',
    "the new one is in place": (
        'if self.name == "new":\n        rename(self, target)\n        os._exit(9)'
    ),
}


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("force", [True, False])
def test_a_replacement_that_was_cut(room: Path, package: Path, instant: str, force: bool) -> None:
    destination = room / "package"
    subprocess.run(["cp", "-r", package, destination], check=True)
    before = (destination / "manifest.json").read_bytes()
    killed(
        destination,
        "rename = Path.rename\n"
        f"def cut(self, target):\n    {INSTANTS[instant]}\n    return rename(self, target)\n"
        "Path.rename = cut\n"
        "write = lambda folder: (folder / 'new').write_text('new')",
    )
    set_aside = not destination.exists()
    assert set_aside == (instant == "the older one is set aside")
    remove_leftovers(destination)
    assert names(room) == ["package"]
    if set_aside:
        assert (destination / "manifest.json").read_bytes() == before
        if force:
            write_atomically(destination, True, write)
            assert names(destination) == ["new file"]
        else:
            with pytest.raises(ExportError):
                write_atomically(destination, False, write)
    else:
        assert names(destination) == ["new"]


def test_a_workspace_without_a_lock_file_is_a_leftover(room: Path) -> None:
    """Killed between the two steps of making it."""
    (room / f"{workspace_prefix(room / 'package')}01234567").mkdir()
    write_atomically(room / "package", False, write)
    assert names(room) == ["package"]


def test_the_workspace_of_a_live_export_stays(room: Path) -> None:
    live = Workspace(room / "package")
    live.make()
    fill(live.new, "model.onnx")
    program = (
        "from pathlib import Path\nfrom gpt2_edge_export.output.leftovers import remove_leftovers\n"
        f"remove_leftovers(Path({str(room / 'package')!r}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # another process
    write_atomically(room / "package", False, write)  # and the same
    assert (live.new / "model.onnx").exists()
    live.remove()
    assert names(room) == ["package"]


def test_a_lookalike_that_is_a_link_stays(room: Path, tmp_path: Path) -> None:
    elsewhere = fill(tmp_path / "elsewhere", "precious")
    link = room / f"{workspace_prefix(room / 'package')}01234567"
    link.symlink_to(elsewhere)
    write_atomically(room / "package", False, write)
    assert (elsewhere / "precious").exists()
    assert link.is_symlink()


def test_what_earlier_versions_left_is_removed(room: Path, package: Path, ended: int) -> None:
    fill(room / f".package.partial-{ended}", "model.onnx", "config.json")
    fill(room / f".package.partial-{ended}.reference-ab_c1", "fp32/model.onnx")
    subprocess.run(["cp", "-r", package, room / f".package.replaced-{ended}"], check=True)
    fill(room / f".package.partial-{os.getpid()}", "model.onnx")
    fill(room / f".other.partial-{ended}", "model.onnx")
    fill(room / "package", "theirs")
    remove_leftovers(room / "package")
    assert names(room) == [f".other.partial-{ended}", "package"]


def test_what_an_earlier_version_set_aside_is_put_back(
    room: Path, package: Path, ended: int
) -> None:
    fill(room / f".package.partial-{ended}", "model.onnx")
    subprocess.run(["cp", "-r", package, room / f".package.replaced-{ended}"], check=True)
    with pytest.raises(ExportError, match="--force"):
        write_atomically(room / "package", False, write)
    assert names(room) == ["package"]
    assert names(room / "package") == names(package)


def test_what_an_earlier_version_is_writing_stays(room: Path, running: int) -> None:
    left = [f".package.partial-{running}", f".package.replaced-{running}"]
    for name in left:
        fill(room / name, "model.onnx")
    write_atomically(room / "package", False, write)
    assert names(room) == [*left, "package"]


def test_the_number_of_a_process_that_is_another_by_now(room: Path, running: int) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("start times are read on Linux only")
    folder = fill(room / f".package.partial-{running}", "model.onnx")
    hour_ago = time.time() - 3600
    for path in (folder / "model.onnx", folder):
        os.utime(path, (hour_ago, hour_ago))
    write_atomically(room / "package", False, write)
    assert names(room) == ["package"]


@pytest.mark.parametrize("name", ["partial", "replaced"])
def test_lookalikes_with_other_things_in_them_stay(room: Path, ended: int, name: str) -> None:
    lookalike = fill(room / f".package.{name}-{ended}", "folder/precious")
    fill(room / "package", "theirs")
    remove_leftovers(room / "package")
    assert (lookalike / "folder" / "precious").exists()
