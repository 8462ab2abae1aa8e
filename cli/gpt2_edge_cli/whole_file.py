"""Files that are written whole or not at all, and replace another only where that was asked for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gpt2_edge.errors import GenerationError


def check_target(path: Path, force: bool) -> None:
    """Raise what `write_whole` would raise for `path`, before there is something to lose."""
    folder = path.absolute().parent
    try:
        if path.is_dir():
            reason = "it is a folder"
        elif os.path.lexists(path) and not path.is_file():
            reason = "it is no regular file"
        elif not force and os.path.lexists(path):
            reason = "it is there already; replace it with --force"
        elif not folder.is_dir():
            reason = f"there is no folder {folder}"
        elif not os.access(folder, os.W_OK):
            reason = f"nothing can be written into {folder}"
        else:
            return
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = str(getattr(error, "strerror", None) or error)
    raise GenerationError(f"{path} cannot be written ({reason})")


def write_whole(path: Path, content: bytes, force: bool) -> None:
    """Write `content` to `path`; what was there stays until all is written.

    Raises GenerationError where that cannot be, and where a file is there and not `force`.
    """
    check_target(path, force)
    try:
        replace_whole(path, content)
    except OSError as error:
        raise GenerationError(f"{path} cannot be written ({error.strerror or error})") from error


def replace_whole(path: Path, content: bytes) -> None:
    """Write `content` in place of whatever `path` is, which stays until all is written; OSError."""
    # Not of the target's name, which may be as long as names can be.
    new = path.with_name(f".gpt2-edge.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with new.open("xb") as file:
            file.write(content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
