"""What exports left that were killed outright, or by earlier versions that cleaned up less well."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from gpt2_edge.errors import PackageError
from gpt2_edge_export.output.replaceable import foreign_entry
from gpt2_edge_export.output.workspace import (
    clear_workspace,
    is_vacant,
    locked,
    remove_tree,
    workspace_prefix,
)

# Start times come in clock ticks, the time of the boot that they count from in seconds.
_CLOCK_SLACK = 2.0


def remove_leftovers(destination: Path) -> None:
    """Remove what ended exports to `destination` left beside it; put back what they set aside.

    What a live export is writing stays: it holds the lock of its workspace. Folders of earlier
    versions have the number of their process in their name.
    """
    ours = re.compile(rf"{re.escape(workspace_prefix(destination))}[0-9a-f]{{8}}")
    name = re.escape(destination.name)
    earlier = re.compile(rf"\.{name}\.(partial|replaced)-([0-9]{{1,9}})(\.reference-\w+)?")
    with contextlib.suppress(OSError, ValueError):
        for path in _folders(destination.parent):
            with contextlib.suppress(OSError, PackageError):
                if ours.fullmatch(path.name):
                    _remove_workspace(path, destination)
                elif (match := earlier.fullmatch(path.name)) and not _is_live(int(match[2]), path):
                    if match[1] == "partial":
                        _remove_partial(path)
                    else:
                        _remove_replaced(path, destination)


def _folders(parent: Path) -> Iterator[Path]:
    with os.scandir(parent) as entries:
        hidden = [entry for entry in entries if entry.name.startswith(".")]
    return (Path(entry.path) for entry in hidden if entry.is_dir(follow_symlinks=False))


def _remove_workspace(path: Path, destination: Path) -> None:
    descriptor = locked(path)
    try:
        clear_workspace(path, destination)
    finally:
        os.close(descriptor)


def _remove_partial(path: Path) -> None:
    """Remove half a package, or the reference of one; other things than they hold are kept."""
    reference = ".reference-" in path.name
    for entry in path.iterdir():
        mode = entry.lstat().st_mode
        scratch = entry.name == "fp32" if reference else entry.name.startswith("tmp")
        if not (stat.S_ISDIR(mode) and scratch) and not (stat.S_ISREG(mode) and not reference):
            return
    remove_tree(path)


def _remove_replaced(path: Path, destination: Path) -> None:
    """Put back the package that was to be replaced, or remove it where a new one is."""
    if is_vacant(destination):
        path.rename(destination)
    elif foreign_entry(path) is None:
        remove_tree(path)


def _is_live(number: int, path: Path) -> bool:
    """Whether the process `number` runs, and may be the one that wrote `path`."""
    if number == os.getpid():  # this version writes no such folders
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        pass
    started = _start_time(number)
    if started is None:
        return True
    written = max(file.lstat().st_mtime for file in (path, *path.iterdir()))
    return started <= written + _CLOCK_SLACK


def _start_time(number: int) -> float | None:
    """When the process `number` began, in seconds since 1970; None where that is not known."""
    try:
        # The name of the program stands in parentheses, and may hold anything.
        fields = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()
        (boot,) = re.findall(rb"^btime (\d+)$", Path("/proc/stat").read_bytes(), re.MULTILINE)
        return int(boot) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
