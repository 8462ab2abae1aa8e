"""Writing a package: all of it, or none."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gpt2_edge.errors import CheckpointError, ExportError, PackageError
from gpt2_edge.files.manifest import MANIFEST_FILE, FileRecord
from gpt2_edge.files.package import sha256_of
from gpt2_edge.untrusted import shown
from gpt2_edge_export.output.held_signals import HeldSignals
from gpt2_edge_export.output.leftovers import remove_leftovers
from gpt2_edge_export.output.replaceable import foreign_entry
from gpt2_edge_export.output.workspace import Workspace

T = TypeVar("T")

_OTHER = "choose another output"


def write_atomically(destination: Path, force: bool, write: Callable[[Path], T]) -> T:
    """What `write` returns, which is given a new folder that becomes `destination` then.

    Until then the folder is in a hidden workspace beside `destination`, which goes in any case: an
    interrupted export leaves nothing. An older package there (with `force`) stays until the new
    one is complete. Signals wait while things are put in place and cleaned up.

    Raises ExportError where `destination` may not be written, or the disk refuses.
    """
    destination = prepare_destination(destination, force)
    workspace = Workspace(destination)
    signals = HeldSignals()
    try:
        try:
            signals.catch()
            workspace.make()
            result = write(workspace.new)
            signals.hold()
            _check(destination, force)
            workspace.put_in_place(lambda old: _check_replaceable(old, destination))
            return result
        except OSError as error:
            raise ExportError(
                f"{destination} could not be written: {error.strerror or error}"
            ) from error
        finally:
            signals.hold()
    finally:
        signals.hold()
        try:
            workspace.remove()
        finally:
            signals.release()


def prepare_destination(destination: Path, force: bool) -> Path:
    """Where a package is to be written, as an absolute path; ExportError unless it may and can be.

    What a killed export left there is removed, and a package that it had set aside put back.
    """
    try:
        destination = destination.absolute()
        if destination.name in ("", ".."):
            destination = destination.resolve()
        str(destination).encode()
        remove_leftovers(destination)
        _check(destination, force)
    except UnicodeEncodeError as error:
        raise ExportError(
            f"{destination}: the path is not UTF-8, and ONNX Runtime opens no others; {_OTHER}"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; a circle of links
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ExportError(f"{destination} cannot be written ({reason}); {_OTHER}") from error
    return destination


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as the JSON file `path`; CheckpointError for NaN and infinity."""
    try:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise CheckpointError(
            f"{path.name} would hold NaN or infinity, which JSON has not; mend the checkpoint's"
        ) from error
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    r"""Write `text` in UTF-8; a lone surrogate becomes \udc00, which is what it is in JSON."""
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Size and hash of every file in `folder` but the manifest, by name."""
    return {
        path.name: FileRecord(path.stat().st_size, sha256_of(path))
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_FILE
    }


def _check(destination: Path, force: bool) -> None:
    parent = destination.parent
    if not os.path.isdir(parent):  # noqa: PTH112 - False for every odd name, where Path may raise
        raise ExportError(f"{parent}: no such folder to write the package into")
    try:
        status = destination.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        raise ExportError(f"{destination} exists and is no folder; {_OTHER}")
    if any(destination.iterdir()):
        if not force:
            raise ExportError(f"{destination} exists; {_OTHER}, or replace it with --force")
        _check_replaceable(destination, destination)
    # What would keep it from being renamed at the end.
    if status.st_dev != parent.stat().st_dev or destination.samefile(parent):
        raise ExportError(
            f"{destination} is where a file system is mounted, so it cannot be replaced; choose a "
            "folder in it as the output"
        )
    if not os.access(destination, os.R_OK | os.W_OK | os.X_OK):
        raise ExportError(f"{destination} may not be replaced (no permission); {_OTHER}")


def _check_replaceable(folder: Path, destination: Path) -> None:
    """Raise ExportError unless all that is in `folder`, called `destination`, is a package."""
    if not any(folder.iterdir()):
        return
    try:
        foreign = foreign_entry(folder)
    except PackageError as error:
        raise ExportError(
            f"{destination} is not a package that can be read, so --force does not delete it; "
            f"{_OTHER}"
        ) from error
    if foreign is not None:
        raise ExportError(
            f"{destination} holds {shown(foreign)}, which is no part of the package there, so "
            f"--force does not delete it; move that elsewhere, or {_OTHER}"
        )
