"""The licence of a checkpoint, which goes with its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gpt2_edge.untrusted import UnreadableError, read_bytes, shown

_LIMIT = 1 << 20  # the longest licences in use have some 40 KB
_MOST = 16


def license_files(folder: Path, notes: list[str]) -> dict[str, bytes]:
    """Name -> content of the files LICENSE* in the checkpoint `folder`.

    Only regular files of sane size and name; a note says of the others that they are left out. A
    link counts if it stays in the folder, or leads to the blobs of the hub's cache: a checkpoint
    of strangers has no say over what else is published with the package.
    """
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("LICENSE*")):
        try:
            if len(found) == _MOST:
                raise UnreadableError(f"there are more than {_MOST} such files")
            if not (path.name.isascii() and path.name.isprintable()) or "\\" in path.name:
                raise UnreadableError("its name is no plain one")
            if not any(path.resolve().is_relative_to(place) for place in _places(folder)):
                raise UnreadableError("it is a link out of the checkpoint")
            found[path.name] = read_bytes(path, _LIMIT)
        except FileNotFoundError:
            continue
        except (UnreadableError, OSError, RuntimeError) as error:
            notes.append(f"{shown(path.name)} is not copied into the package: {error}")
    return found


def _places(folder: Path) -> Iterator[Path]:
    yield folder.resolve()
    if folder.parent.name == "snapshots":
        yield Path(os.path.abspath(folder)).parents[1].resolve() / "blobs"  # noqa: PTH100
