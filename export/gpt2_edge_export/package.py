"""Writing a package: all of it, or none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpt2_edge.errors import ExportError
from gpt2_edge.manifest import MANIFEST_FILE, FileRecord
from gpt2_edge.package import sha256_of


def check_destination(destination: Path, force: bool) -> None:
    """Raise ExportError unless a package may be written to `destination`."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise ExportError(f"{destination} exists and is no folder; choose another output")
    if not destination.parent.is_dir():
        raise ExportError(f"{destination.parent}: no such folder to write the package into")
    if destination.exists() and any(destination.iterdir()):
        if not force:
            raise ExportError(
                f"{destination} exists; choose another output, or replace it with --force"
            )
        if not (destination / MANIFEST_FILE).is_file():
            raise ExportError(
                f"{destination} is not a package, so --force does not delete it; "
                "choose another output"
            )


@contextmanager
def atomic_folder(destination: Path, force: bool = False) -> Iterator[Path]:
    """A new folder that becomes `destination` when the block ends without an exception.

    It stands beside `destination` until then, and is removed if anything goes wrong: an
    interrupted export leaves nothing. An older package there (with `force`) stays until the new
    one is complete. Raises ExportError where the disk refuses.
    """
    destination = destination.absolute()
    check_destination(destination, force)
    partial = destination.with_name(f".{destination.name}.partial-{os.getpid()}")
    replaced = destination.with_name(f".{destination.name}.replaced-{os.getpid()}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        check_destination(destination, force)
        if destination.exists():
            destination.rename(replaced)
        partial.rename(destination)
    except OSError as error:
        raise ExportError(
            f"{destination} could not be written: {error.strerror or error}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if replaced.exists() and not destination.exists():
            replaced.rename(destination)
        shutil.rmtree(replaced, ignore_errors=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Size and hash of every file in `folder` but the manifest, by name."""
    return {
        path.name: FileRecord(path.stat().st_size, sha256_of(path))
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_FILE
    }
